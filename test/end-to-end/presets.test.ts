import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.js";
import { trainConfigSchema } from "../../src/config/schema.js";
import type { StepEvent, TrainEvent } from "../../src/pipeline/events.js";
import { runTrain } from "../../src/pipeline/run.js";
import { metric } from "../../src/reports/metrics.js";

/** Every preset of full size for two steps, on 8 rows of its dataset's layout and with a tiny model of its family. */

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sightloop-presets-"));
  for (const [name, row] of [
    ["geometry3k", { question: "<image>Find $x$. Round to the nearest tenth.", solution: "By similarity, x = 6." }],
    ["mm_math", { question: "As shown in the figure, AB is a diameter of circle O. What is angle C?", solution: "90" }],
  ] as const) {
    mkdirSync(join(folder, "data", name, "images"), { recursive: true });
    const image = "images/geometry.png";
    copyFileSync("test/fixtures/images/geometry.png", join(folder, "data", name, image));
    const rows = Array.from({ length: 8 }, (_, i) => ({ ...row, id: `${name}_${i}`, answer: `${i}`, image }));
    for (const split of ["train", "validation", "test"])
      writeFileSync(join(folder, "data", name, `${split}.jsonl`), rows.map((one) => JSON.stringify(one)).join("\n"));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const names = readdirSync("configs/parts/algorithms").map((file) => file.replace(".yaml", ""));
const setups = ["qwen2_5_vl_3b", "qwen2_5_vl_7b", "qwen2_vl_7b"].flatMap((model) =>
  ["geometry3k", "mm_math"].map((dataset) => ({ model, dataset })),
);
const runs = names.map((name, i) => ({ name, ...setups[i % setups.length]! }));

test("there are presets, and each model and dataset is used", () => {
  expect(names.length).toBe(9);
  expect(new Set(runs.map(({ model, dataset }) => `${model} ${dataset}`)).size).toBe(6);
});

test.each(runs)("$name: $model on $dataset", async ({ name, model, dataset }) => {
  const { config } = await loadConfig(trainConfigSchema, `configs/${name}.yaml`, [
    `extends.model=configs/parts/models/${model}.yaml`,
    `extends.dataset=configs/parts/datasets/${dataset}.yaml`,
    `model.path=test/fixtures/${model.startsWith("qwen2_5") ? "qwen2_5_vl" : "qwen2_vl"}/checkpoint`,
    ...["threads=1", "epochs=1", "prompts_per_step=4", "sampling.max_completion_tokens=8", "evaluate.max_items=1"],
    "reward_workers=1",
    // Two updates a step. Those without groups have one completion a prompt.
    ...(name.startsWith("maye") || name === "reinforce_pp"
      ? ["completions_per_update=2"]
      : ["completions_per_prompt=2", "completions_per_update=4"]),
    ...(name === "dapo" ? ["rewards=[{name: accuracy}, {name: overlong, cache_tokens: 4}]"] : []),
  ]);
  const events: TrainEvent[] = [];
  const even = { name: "even", score: ({ completion }: { completion: string }) => completion.length % 2 };
  const options = { resume: false, command: "again", base_folder: folder, rewards: [...config.rewards, even] as never };
  for await (const event of runTrain(config, options, new AbortController().signal)) events.push(event);
  const steps = events.filter((event): event is StepEvent => event.type === "step");
  expect(steps).toHaveLength(2);
  for (const { metrics } of steps)
    for (const [key, value] of Object.entries(metrics)) {
      expect(metric(key).unit, key).not.toBe("");
      expect(Number.isFinite(value), `${key} ${value}`).toBe(true);
    }
  expect(steps[0]!.metrics).toHaveProperty("clip_fraction_low");
  expect(events.filter(({ type }) => type === "evaluated").length).toBeGreaterThanOrEqual(2);
});
