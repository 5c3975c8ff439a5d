/** Files that anyone may have damaged or made up: each is read, or refused by an error that names it. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import sharp from "sharp";
import { stringify } from "yaml";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { below, mutateBytes, mutateJson, pick, type Random, randomOf } from "../helpers/mutate.js";
import { smallConfig, smallRun, trainHere, workspace } from "./support.js";

/** Cases of each kind; SIGHTLOOP_MUTATIONS=1000 looks further. */
const num_cases = Number(process.env["SIGHTLOOP_MUTATIONS"] ?? 10);
/** Longer than any case takes, on a busy machine too: what exceeds it hangs. */
const patience_ms = 60_000;

const place = workspace();

interface Outcome {
  readonly works: boolean;
  readonly name?: string;
  readonly code?: string;
  readonly message?: string;
  readonly hint?: string;
  readonly stack?: string;
}

/** The process that reads, started anew after each that died. */
class Reader {
  #child: ChildProcessWithoutNullStreams | undefined;
  #lines: AsyncIterator<string> | undefined;
  #said = "";

  async ask(request: object): Promise<Outcome | string> {
    if (this.#child === undefined) {
      this.#child = spawn(process.execPath, [resolve("test/helpers/reader.mjs")]);
      this.#said = "";
      this.#child.stderr.setEncoding("utf8").on("data", (text: string) => (this.#said += text));
      this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
      await this.#lines.next();
    }
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((settle) => (timer = setTimeout(() => settle("late"), patience_ms)));
    const next = await Promise.race([this.#lines!.next(), late]);
    clearTimeout(timer);
    if (next !== "late" && next.done !== true) return JSON.parse(next.value) as Outcome;
    this.stop();
    return next === "late" ? "hangs" : `the process died\n${this.#said}`;
  }

  stop(): void {
    this.#child?.kill("SIGKILL");
    this.#child = undefined;
  }
}

const reader = new Reader();
afterAll(() => reader.stop());

/** What is wrong with an outcome; undefined if it is as it should be. */
function fault(outcome: Outcome | string, file: RegExp): string | undefined {
  if (typeof outcome === "string") return outcome;
  if (outcome.works) return undefined;
  const { name, code, message = "", hint = "" } = outcome;
  if (name !== "UserError" || code === undefined) return `a bug: ${outcome.stack}`;
  if (hint === "") return `${message}: no hint`;
  if (/INTERNAL ASSERT|Exception raised|^ {4}at /m.test(message)) return `not for a user: ${message}`;
  if (!file.test(message) && code !== "TRAINING_DIVERGED") return `names no file: ${code} ${message}`;
  return undefined;
}

interface Mutated {
  /** Damages the file and says what the reader shall do. */
  readonly prepare: (random: Random, seed: number) => object;
  /** What an error has to name. */
  readonly file: RegExp;
}

/** Runs the cases of a kind; a failure lists the seeds. */
function mutated(kind: string, { prepare, file }: Mutated): void {
  test(kind, { timeout: 20 * patience_ms }, async () => {
    const faults: string[] = [];
    let refused = 0;
    for (let seed = 0; seed < num_cases; seed++) {
      const outcome = await reader.ask(prepare(randomOf(seed + 1000 * kind.length), seed));
      const what = fault(outcome, file);
      if (what !== undefined) faults.push(`seed ${seed}: ${what}`);
      if (typeof outcome === "object" && !outcome.works) refused += 1;
    }
    expect(faults.join("\n\n")).toBe("");
    expect(refused, "cases that were refused: the damage must show").toBeGreaterThan(0);
  });
}

/** Damages one file of a folder that is otherwise whole, and mends the one before. */
function damager(folder: () => string) {
  const whole = new Map<string, Buffer>();
  let damaged: string | undefined;
  return (name: string, change: (bytes: Buffer) => string | Uint8Array): void => {
    if (damaged !== undefined) writeFileSync(join(folder(), damaged), whole.get(damaged)!);
    if (!whole.has(name)) whole.set(name, readFileSync(join(folder(), name)));
    damaged = name;
    writeFileSync(join(folder(), name), change(whole.get(name)!));
  };
}

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

mutated("the columns of a batch", {
  prepare: (random) => {
    const [rows, length] = [4, 6];
    const total = rows * length;
    const columns: Record<string, unknown> = {
      prompt_id: ["BigInt64Array", [0, 0, 1, 1]],
      sample_index: ["Int32Array", [0, 1, 0, 1]],
      policy_version: ["Int32Array", [0, 0, 0, 0]],
      token_ids: ["Int32Array", Array.from({ length: total }, (_, i) => (i % length < 3 ? 9 : 11 + i))],
      offsets: ["Int32Array", [0, 6, 12, 18, 24]],
      completion_mask: ["Uint8Array", [0x38, 0x8e, 0xe3]],
      ...Object.fromEntries(
        ["rollout_logprobs", "policy_logprobs", "advantages"].map((name) => [
          name,
          ["Float32Array", Array.from({ length: total }, () => -1)],
        ]),
      ),
      reference_logprobs: null,
      image_ids: [[], [], [], []],
    };
    const scores: Record<string, unknown> = {
      reward: ["Float32Array", [1, 0, 1, 0]],
      policy_logprobs: columns["policy_logprobs"],
      reference_logprobs: null,
    };
    for (let count = 1 + below(random, 3); count > 0; count--) damageColumn(random, random() < 0.85 ? columns : scores);
    return { kind: "columns", model: place.model, columns, scores };
  },
  file: /./,
});

/** Wrong offsets, lengths, ids, kinds of array, missing columns. */
function damageColumn(random: Random, columns: Record<string, unknown>): void {
  const name = pick(random, Object.keys(columns));
  const column = columns[name] as [string, number[]] | null;
  const kinds = ["Int32Array", "Float32Array", "Uint8Array", "Float64Array"];
  if (!Array.isArray(column) || !Array.isArray(column[1]) || name === "image_ids") {
    columns[name] = pick(random, [null, [], [["no such image"], [], [], []], 5, "text", [[], [], [], [], []]]);
    return;
  }
  const values = [...column[1]];
  const place = below(random, values.length);
  const actions: readonly (() => void)[] = [
    () => (values[place] = pick(random, [-1, -(2 ** 31), 2 ** 31 - 1, 1_000_000, 352, 353, 0, 7])),
    () => void values.reverse(),
    () => (values.length = place),
    () => void values.push(...values),
    () => void values.splice(place, 1),
  ];
  pick(random, actions)();
  columns[name] =
    random() < 0.1 ? pick(random, [null, {}, "text", []]) : [random() < 0.15 ? pick(random, kinds) : column[0], values];
}
