/** Files that anyone may have damaged or made up: each is read, or refused by an error that names it. */
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { stringify } from "yaml";
import { beforeAll, describe, expect } from "vitest";
import { below, mutateBytes, mutateJson, pick, type Random } from "../helpers/mutate.js";
import { damager, mutated } from "../helpers/mutated.js";
import { smallConfig, smallRun, trainHere, workspace } from "./support.js";

const place = workspace();

const json = (random: Random) => (bytes: Buffer) => mutateJson(random, JSON.parse(String(bytes)));

beforeAll(async () => {
  cpSync(place.model, place.path("damaged"), { recursive: true });
  await sharp({ create: { width: 60, height: 50, channels: 3, background: "#123456" } })
    .png()
    .toFile(place.path("a.png"));
});

describe("a damaged model", () => {
  const damage = damager(() => place.path("damaged"));
  const request = () => ({ kind: "model", folder: place.path("damaged"), image: place.path("a.png") });

  mutated("the header of its safetensors", {
    prepare: (random) => {
      damage("model.safetensors", (bytes) => {
        const size = Number(bytes.readBigUInt64LE());
        if (random() < 0.5) return mutateBytes(random, bytes, size + 8);
        const header = Buffer.from(mutateJson(random, JSON.parse(bytes.toString("utf8", 8, 8 + size))));
        const length = Buffer.alloc(8);
        length.writeBigUInt64LE(BigInt(header.length));
        return Buffer.concat([length, header, bytes.subarray(8 + size)]);
      });
      return request();
    },
    file: /model\.safetensors|damaged: tensor|damaged: holds|damaged: config\.json asks/,
  });
  mutated("the data of its safetensors", {
    prepare: (random) => {
      damage("model.safetensors", (bytes) => {
        const start = 8 + Number(bytes.readBigUInt64LE());
        if (random() < 0.3) return bytes.subarray(0, start + below(random, bytes.length - start));
        const changed = Buffer.from(bytes);
        for (let i = 0; i < 200; i++)
          // NaN, infinity, huge and tiny
          changed.writeUInt32LE(
            pick(random, [0x7fc00000, 0x7f800000, 0x7f7fffff, 0xff7fffff, 1]),
            start + 4 * below(random, 200_000),
          );
        return changed;
      });
      return request();
    },
    file: /model\.safetensors/,
  });
  const jsons = [
    "config.json",
    "tokenizer.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer_config.json",
    "generation_config.json",
  ];
  for (const name of jsons.slice(0, 2))
    mutated(`its ${name}`, {
      prepare: (random) => {
        damage(name, json(random));
        return request();
      },
      file: name === "config.json" ? /config\.json|tensor "/ : /tokenizer|token id/,
    });
  mutated("its other files", {
    prepare: (random, seed) => {
      damage(jsons[2 + (seed % 4)]!, json(random));
      return request();
    },
    file: /_config\.json|image processor|merge|token/,
  });
});

describe("a damaged adapter", () => {
  const damage = damager(() => place.path("adapter"));
  const request = () => ({
    ...{ kind: "model", folder: "test/fixtures/qwen2_5_vl/checkpoint" },
    ...{ adapter: place.path("adapter"), image: place.path("a.png") },
  });
  beforeAll(() => cpSync("test/fixtures/qwen2_5_vl/lora", place.path("adapter"), { recursive: true }));

  mutated("its adapter_config.json", {
    prepare: (random) => {
      damage("adapter_config.json", json(random));
      return request();
    },
    file: /adapter_config\.json/,
  });
  mutated("its adapter_model.safetensors", {
    prepare: (random) => {
      damage("adapter_model.safetensors", (bytes) => mutateBytes(random, bytes, 8 + Number(bytes.readBigUInt64LE())));
      return request();
    },
    file: /adapter_model\.safetensors/,
  });
});

mutated("an image", {
  prepare: (random) => {
    const fixture = readFileSync(
      join("test/fixtures/images", pick(random, ["photo.jpg", "palette.png", "rgba.png", "progressive.jpg"])),
    );
    writeFileSync(place.path("mutated.png"), mutateBytes(random, fixture, 100));
    return { kind: "image", model: place.model, image: place.path("mutated.png") };
  },
  file: /mutated\.png/,
});

mutated("a JSONL dataset", {
  prepare: (random) => {
    const rows = Array.from({ length: 5 }, (_, i) => ({
      id: `r${i}`,
      question: "total?",
      answer: "5",
      solution: "5",
      image: "a.png",
    }));
    const lines = rows.map((row) => (random() < 0.5 ? mutateJson(random, row) : JSON.stringify(row))).join("\n");
    writeFileSync(place.path("rows.jsonl"), random() < 0.3 ? mutateBytes(random, Buffer.from(lines)) : lines);
    return { kind: "jsonl", path: place.path("rows.jsonl") };
  },
  file: /rows\.jsonl/,
});

mutated("a config", {
  prepare: (random) => {
    const text = stringify({ ...smallRun, model: { path: "model" } });
    const bombs = [
      "a: &a [x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n".replace("[x, x]", `[${"x,".repeat(500)}x]`),
      "*none",
      "{".repeat(5000),
      "- ".repeat(5000),
      "&a [*a]",
      "a: !!binary ???",
    ];
    const kind = below(random, 3);
    const changed =
      kind === 0
        ? mutateBytes(random, Buffer.from(text))
        : kind === 1
          ? mutateJson(random, { ...smallRun, model: { path: "model" } })
          : `${text}\n${pick(random, bombs)}`;
    writeFileSync(place.path("run.yaml"), changed);
    return { kind: "yaml", path: place.path("run.yaml") };
  },
  file: /run\.yaml/,
});

describe("a damaged run folder", () => {
  const config = () =>
    smallConfig(place.model, place.path("run"), {
      steps: 1,
      evaluate: {},
      datasets: { train: smallRun.datasets.train },
    });
  beforeAll(async () => {
    expect((await trainHere(config())).error).toBeUndefined();
    cpSync(place.path("run"), place.path("whole-run"), { recursive: true });
  });
  const names = [
    "config.yaml",
    "metrics.jsonl",
    ...["cursor.json", "state/model.safetensors", "state/optimizer.safetensors"].map(
      (name) => `checkpoints/step-000001/${name}`,
    ),
    "checkpoints/latest",
  ];

  mutated("resumed", {
    prepare: (random, seed) => {
      rmSync(place.path("run"), { recursive: true });
      cpSync(place.path("whole-run"), place.path("run"), { recursive: true });
      const name = names[seed % names.length]!;
      const path = place.path("run", name);
      const bytes = readFileSync(path);
      const json_text = name.endsWith("cursor.json") && random() < 0.7;
      writeFileSync(path, json_text ? mutateJson(random, JSON.parse(String(bytes))) : mutateBytes(random, bytes, 300));
      return { kind: "run", folder: place.path("run"), config: config(), model: place.model };
    },
    file: /config\.yaml|run in|metrics\.jsonl|cursor\.json|safetensors|optimizer state/,
  });
});
