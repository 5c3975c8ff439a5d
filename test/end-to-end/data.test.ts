import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { runTrain } from "../../src/pipeline/run.js";
import { commit, hubServer } from "../helpers/hub-server.js";
import { type Outcome, sightloop, smallConfig, smallRun, start, workspace } from "./support.js";

const place = workspace();
const fixtures = fileURLToPath(new URL("../fixtures/datasets", import.meta.url));
const row = (extra: Record<string, unknown> = {}): string =>
  JSON.stringify({ question: "prices: top 3 total?", answer: "4", ...extra });
let hub: Awaited<ReturnType<typeof hubServer>>;
let env: Record<string, string>;

beforeAll(async () => {
  cpSync(fixtures, place.path("data"), { recursive: true });
  const model = Object.fromEntries(
    readdirSync(place.model).map((name) => [name, readFileSync(join(place.model, name))]),
  );
  const train = "data/train-00000-of-00002.parquet";
  const rows = { [train]: readFileSync(join(fixtures, "geometry3k", train)) };
  hub = await hubServer([
    { kind: "model", id: "org/tiny", files: model },
    { kind: "dataset", id: "org/rows", files: rows },
  ]);
  env = { HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: place.path("cache"), HF_HUB_OFFLINE: "" };
});
afterAll(() => hub.close());

describe("data check", () => {
  const check = (...args: string[]): Promise<Outcome> => sightloop(["data", "check", ...args], place.folder);

  test("a config in the paper's layout: every split, token counts, the longest, what splits share", async () => {
    const jsonl = (name: string) => ({ name: "jsonl", path: `data/maye/mm_math/${name}_v0.jsonl` });
    const datasets = {
      train: jsonl("mm_math_rl"),
      validation: jsonl("mm_math_validation"),
      test: jsonl("math_verse_test"),
    };
    const config = { ...smallRun, model: { path: "model" }, datasets, prompt: { max_prompt_tokens: 1000 } };
    writeFileSync(place.path("run.yaml"), stringify(config));
    const { code, stdout, stderr } = await check("run.yaml", "--json");
    expect([code, stderr]).toEqual([0, ""]);
    const report = JSON.parse(stdout) as { splits: { prompt_tokens: { max: number; max_place: string } }[] };
    expect(report).toMatchObject({ good: true, shared: [] });
    expect(report.splits).toMatchObject([
      { split: "train", num_rows: 8, num_images: 8, num_solutions: 8, bad: [], repeated: [], image_width: [112, 112] },
      { split: "validation", num_rows: 4, images_per_row: { min: 1, max: 1 } },
      { split: "test", num_rows: 4, image_tokens: { max: 16, mean: 16 } },
    ]);
    const longest = report.splits[0]!.prompt_tokens;
    expect(longest.max).toBeGreaterThan(50);
    expect(longest.max_place).toMatch(/mm_math_rl_v0\.jsonl:\d$/);
  });

  test("lists every bad row with file and line, and exits with 2", async () => {
    const whole = readFileSync(place.path("data/figure.png"));
    writeFileSync(place.path("cut.png"), whole.subarray(0, whole.length - 30));
    writeFileSync(place.path("text.png"), "no image");
    writeFileSync(place.path("latin.txt"), "");
    const image = "data/figure.png";
    const lines = [
      row({ image }),
      row({ image: "cut.png" }),
      row({ image: "text.png" }),
      row({ image: "none.png" }),
      "{",
      row({ image }),
      row({ question: "<image><image>", image }),
    ];
    const bad = Array.from({ length: 25 }, () => "{}");
    const latin = Buffer.from('{"question": "\xe9", "answer": "1"}\n', "latin1");
    writeFileSync(place.path("bad.jsonl"), Buffer.concat([Buffer.from(`${[...lines, ...bad].join("\n")}\n`), latin]));
    const { code, stdout } = await check("bad.jsonl", "--model", "model");
    expect(code).toBe(2);
    for (const text of [
      "rows: 33 rows, 2 images (1 a row), 0 solutions",
      ":2: ",
      'cut.png (sample "2"): damaged, cut off, or not an image',
      ":3: ",
      ":4: image ",
      "none.png does not exist",
      ":5: not valid JSON",
      ":7: the question has 2 <image> markers, but the sample has 1 images",
      ":33: not UTF-8",
      "1 question with the same images that another row of the split has already",
      "31 bad rows",
    ])
      expect(stdout).toContain(text);
    expect(stdout.match(/bad\.jsonl:\d+: "question" is missing/g)).toHaveLength(25);
  });

  test("parquet of two splits that share a row, without a model", async () => {
    const rows = (split: string) => ({
      name: "parquet",
      path: "data/geometry3k",
      split,
      columns: { question: "problem" },
    });
    writeFileSync(
      place.path("shared.yaml"),
      stringify({
        ...smallRun,
        model: { path: "nowhere" },
        datasets: { train: rows("train"), validation: rows("train") },
      }),
    );
    const { code, stdout } = await check("shared.yaml");
    expect(code).toBe(0);
    expect(stdout).toContain("image sizes     28 to 56 x 28 pixels (width x height)");
    expect(stdout).toContain("8 questions with the same images in two splits:");
    expect(stdout).toMatch(/train-00000-of-00002\.parquet:0 = .*train-00000-of-00002\.parquet:0 \(train, validation\)/);
    expect(stdout).toContain("tokens are not counted: the model folder nowhere does not exist");
  });

  test.each([
    [["cut.parquet"], 2, "cut off, or damaged"],
    [["{name: fashion_grid, count: 5, split: test}"], 0, "rows: 5 rows, 5 images"],
    [["data/flat.parquet", "--model", "model", "--max-prompt-tokens", "20"], 2, "tokens, over max_prompt_tokens 20"],
  ])("%j", async (args, expected, text) => {
    writeFileSync(place.path("cut.parquet"), readFileSync(place.path("data/flat.parquet")).subarray(0, 5000));
    const { code, stdout } = await check(...args);
    expect([code, stdout]).toEqual([expected, expect.stringContaining(text)]);
  });

  test.each([
    [["nonsense"], "name"],
    [["bad.jsonl", "--model", "nowhere"], "the model folder nowhere does not exist"],
    [["bad.jsonl", "--set", "seed=1"], "--set changes a config"],
    [["bad.jsonl", "--max-prompt-tokens", "0"], "--max-prompt-tokens must be"],
  ])("%j is refused", async (args, text) => {
    const { code, stdout, stderr } = await check(...args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(text);
    expect(stderr).not.toContain("    at ");
  });
});

describe("models and datasets of the hub", () => {
  const dataset = { name: "parquet", path: "org/rows", split: "train", columns: { question: "problem" } };
  const changes = { steps: 1, datasets: { train: dataset }, evaluate: { before_training: false } };
  const train = async (offline = "") => {
    const config = smallConfig("org/tiny", place.path("run"), changes);
    const options = {
      resume: offline !== "",
      command: "again",
      base_folder: ".",
      hub: { env: { ...env, HF_HUB_OFFLINE: offline } },
    };
    for await (const _ of runTrain(config, options, new AbortController().signal));
  };

  test("train downloads both, and the run's config keeps the commit, for a resume without a network", async () => {
    await train();
    const config = parse(readFileSync(place.path("run/config.yaml"), "utf8")) as {
      model: object;
      datasets: { train: object };
    };
    expect(config.model).toMatchObject({ path: `hf:org/tiny@${commit}` });
    expect(config.datasets.train).toMatchObject({ path: `hf:org/rows@${commit}` });
    const requests = hub.seen.length;
    await train("1");
    expect(hub.seen).toHaveLength(requests);
  });

  test("generate and evaluate take them too; data check leaves the weights where they are", async () => {
    const cache = place.path("cache-2");
    mkdirSync(cache);
    const run = (...args: string[]) => start(args, place.folder, { ...env, HF_HUB_CACHE: cache }).done;
    const checked = await run(
      "data",
      "check",
      `{name: parquet, path: org/rows, columns: {question: problem}}`,
      "--model",
      "org/tiny",
      "--json",
    );
    expect(checked.code).toBe(0);
    expect(JSON.parse(checked.stdout)).toMatchObject({ splits: [{ num_rows: 5, prompt_tokens: {} }] });
    expect(hub.seen.filter(({ url }) => url.includes("file=model.safetensors"))).toHaveLength(1); // that of the run above
    const generated = await run(
      "generate",
      "--model",
      "org/tiny",
      "--question",
      "total?",
      "--max-completion-tokens",
      "2",
      "--json",
    );
    expect(generated.code).toBe(0);
    const rows = "{name: parquet, path: hf:org/rows, columns: {question: problem}}";
    const evaluated = await run(
      "evaluate",
      "--model",
      "org/tiny",
      "--dataset",
      rows,
      "--max-completion-tokens",
      "2",
      "--max-items",
      "2",
      "--json",
    );
    expect(evaluated.code).toBe(0);
  });

  test("one that does not exist is refused without a stack", async () => {
    const { code, stderr } = await start(["generate", "--model", "org/none", "--question", "x"], place.folder, env)
      .done;
    expect(code).toBe(2);
    expect(stderr).toContain("model org/none@main: does not exist on the hub");
    expect(stderr).not.toContain("    at ");
  });
});
