import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import sharp from "sharp";
import { stringify } from "yaml";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { trainCommandHere } from "./command-here.js";
import { type Outcome, sightloop, smallRun, workspace } from "./support.js";

const place = workspace();
const photo = { create: { width: 56, height: 56, channels: 3, background: "#808080" } } as const;

beforeAll(async () => {
  writeFileSync(place.path("empty.png"), "");
  writeFileSync(place.path("corrupt.png"), (await sharp(photo).png().toBuffer()).subarray(0, 60));
  writeFileSync(place.path("good.png"), await sharp(photo).png().toBuffer());
  writeFileSync(place.path("cmyk.jpg"), await sharp(photo).toColourspace("cmyk").jpeg().toBuffer());
  writeFileSync(place.path("deep.png"), await sharp(photo).toColourspace("rgb16").png().toBuffer());
  const frames = await sharp({ ...photo, create: { ...photo.create, height: 112, pageHeight: 56 } })
    .gif()
    .toBuffer();
  writeFileSync(place.path("animated.gif"), frames);
});
afterEach(() => {
  rmSync(place.path("broken"), { recursive: true, force: true });
});

interface Row {
  readonly id?: string;
  readonly question?: string;
  readonly answer?: string | number;
  readonly image?: string | readonly string[];
}
const row = (changes: Row = {}): string => JSON.stringify({ id: "r1", question: "total?", answer: "5", ...changes });

type Train = (args: readonly string[], cwd: string) => Promise<Outcome>;

/** Runs `train` on these rows; the run must fail with 2, say why and how to go on, and leave no run folder. */
async function refused(
  what: { rows?: readonly string[]; model?: string; set?: readonly string[] },
  train: Train = trainCommandHere,
): Promise<string> {
  writeFileSync(place.path("rows.jsonl"), (what.rows ?? [row()]).join("\n"));
  const config = { ...smallRun, model: { path: what.model ?? "model" }, ...{ steps: 1, evaluate: {} } };
  const datasets = { train: { name: "jsonl", path: "rows.jsonl" } };
  writeFileSync(
    place.path("run.yaml"),
    stringify({ ...config, datasets, prompts_per_step: 1, completions_per_update: 4 }),
  );
  const set = (what.set ?? []).flatMap((assignment) => ["--set", assignment]);
  const { code, stderr } = await train(["train", "run.yaml", "--run-folder", "out", ...set], place.folder);
  expect(code, stderr).toBe(2);
  expect(stderr).toMatch(/^error: ./m);
  expect(stderr).toMatch(/^hint: ./m);
  expect(stderr).not.toMatch(/^ {4}at /m);
  expect(existsSync(place.path("out"))).toBe(false);
  return stderr;
}

/** A copy of the model in `broken`, to be damaged. */
function brokenModel(damage: (folder: string) => void): string {
  cpSync(place.model, place.path("broken"), { recursive: true });
  damage(place.path("broken"));
  return "broken";
}

const editJson = (file: string, edit: (json: Record<string, unknown>) => void): void => {
  const json = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  edit(json);
  writeFileSync(file, JSON.stringify(json));
};

describe("the model", () => {
  test.each<[string, (folder: string) => void, readonly (string | RegExp)[]]>([
    ["missing safetensors", (folder) => rmSync(`${folder}/model.safetensors`), ["broken", "safetensors"]],
    ["truncated safetensors", (folder) => truncateSync(`${folder}/model.safetensors`, 100_000), ["model.safetensors"]],
    ["empty safetensors", (folder) => truncateSync(`${folder}/model.safetensors`, 0), ["model.safetensors"]],
    [
      "a wrong shape",
      (folder) => editJson(`${folder}/config.json`, (json) => editSizes(json, -8)),
      [/expected.*got|shape/i],
    ],
    [
      "sizes that the files do not hold",
      (folder) => editJson(`${folder}/config.json`, (json) => editSizes(json, 8)),
      ["config.json asks for more"],
    ],
    [
      "an unknown model type",
      (folder) => editJson(`${folder}/config.json`, (json) => (json["model_type"] = "llava")),
      ["llava"],
    ],
    ["a config that is no JSON", (folder) => writeFileSync(`${folder}/config.json`, "{"), ["config.json"]],
    ["no tokenizer", (folder) => rmSync(`${folder}/tokenizer.json`), ["tokenizer.json"]],
    ["no chat template", (folder) => removeTemplates(folder), ["chat template"]],
  ])("%s", async (_, damage, messages) => {
    const stderr = await refused({ model: brokenModel(damage) });
    for (const message of messages) expect(stderr).toMatch(message);
  });

  test("no such folder, in this process and in one of its own", async () => {
    for (const train of [trainCommandHere, sightloop])
      expect(await refused({ model: "nowhere" }, train)).toContain("the model folder nowhere does not exist");
  });
});

/** One feed-forward width no longer fits the weights. */
function editSizes(json: Record<string, unknown>, by: number): void {
  const text = (json["text_config"] ?? json) as Record<string, unknown>;
  text["intermediate_size"] = Number(text["intermediate_size"]) + by;
}

function removeTemplates(folder: string): void {
  for (const name of ["chat_template.jinja", "chat_template.json"]) rmSync(`${folder}/${name}`, { force: true });
  for (const name of ["processor_config.json", "tokenizer_config.json"])
    if (existsSync(`${folder}/${name}`)) editJson(`${folder}/${name}`, (json) => delete json["chat_template"]);
}

describe("the data", () => {
  test.each<[string, readonly string[], readonly (string | RegExp)[]]>([
    ["an empty dataset", [], ["rows.jsonl has no rows"]],
    ["a row that is no JSON", [row(), "{"], ["rows.jsonl:2"]],
    ["a row without an answer", [JSON.stringify({ question: "q" })], ["rows.jsonl:1", "answer"]],
    ["an image that does not exist", [row({ image: "none.png" })], ["rows.jsonl:1", "none.png"]],
    ["an empty image", [row({ image: "empty.png" })], ["rows.jsonl:1", "empty.png"]],
    ["a corrupt image", [row({ image: "corrupt.png" })], ["corrupt.png", "r1"]],
    ["a CMYK image", [row({ image: "cmyk.jpg" })], ["cmyk.jpg", "CMYK"]],
    ["a 16-bit image", [row({ image: "deep.png" })], ["deep.png", "16"]],
    ["an animated image", [row({ image: "animated.gif" })], ["animated.gif", "animated"]],
    [
      "more images than markers",
      [row({ question: "<image> total?", image: ["good.png", "good.png"] })],
      ["r1", "1 <image>", "2 images"],
    ],
    ["a marker without an image", [row({ question: "<image> total?" })], ["r1", "1 <image>", "0 images"]],
  ])("%s", async (_, rows, messages) => {
    const stderr = await refused({ rows });
    for (const message of messages) expect(stderr).toMatch(message);
  });

  test("a prompt over the limit, in this process and in one of its own", async () => {
    for (const train of [trainCommandHere, sightloop]) {
      const stderr = await refused({ rows: [row({ image: "good.png" })], set: ["prompt.max_prompt_tokens=5"] }, train);
      expect(stderr).toMatch(/"r1".*over max_prompt_tokens 5/);
    }
  });
});

describe("the run folder", () => {
  test("that is not empty is refused, and left as it was", async () => {
    mkdirSync(place.path("full"));
    writeFileSync(place.path("full", "notes.txt"), "mine");
    writeFileSync(place.path("rows.jsonl"), row());
    const { code, stderr } = await sightloop(["train", "run.yaml", "--run-folder", "full"], place.folder);
    expect(code).toBe(2);
    expect(stderr).toContain("full is not empty");
    expect(readFileSync(place.path("full", "notes.txt"), "utf8")).toBe("mine");
  });

  test("of nothing cannot be resumed", async () => {
    const { code, stderr } = await sightloop(["train", "run.yaml", "--run-folder", "none", "--resume"], place.folder);
    expect(code).toBe(2);
    expect(stderr).toContain("none holds no run to resume");
  });
});
