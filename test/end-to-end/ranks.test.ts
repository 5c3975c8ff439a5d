import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { tableFromIPC } from "apache-arrow";
import { describe, expect, test } from "vitest";
import { SafetensorsFile } from "../helpers/safetensors.js";
import { readMetrics } from "../../src/reports/metrics-file.js";
import { node, ranksWorkspace } from "./ranks-support.js";
import { reproducibleMetrics } from "./support.js";

const { place, data, train } = ranksWorkspace();
/** Evaluates once: that loads a judge on every rank. */
const evaluated = (): readonly string[] => ["--set", `datasets.validation=${JSON.stringify(data())}`];

/** Sampled ids of the first steps. */
function tokens(folder: string, steps: number): readonly unknown[] {
  return Array.from({ length: steps }, (_, i) => {
    const name = `step-${String(i + 1).padStart(6, "0")}.arrow`;
    const table = tableFromIPC(readFileSync(place.path(folder, "rollouts", name)));
    return ["prompt_id", "sample_index", "token_ids"].map((name) => JSON.stringify(table.getChild(name), bigint));
  });
}
const bigint = (_: string, value: unknown): unknown => (typeof value === "bigint" ? Number(value) : value);

function largestDifference(a: string, b: string): number {
  const [first, second] = [a, b].map((path) => new SafetensorsFile(path));
  let largest = 0;
  for (const name of first!.names) {
    const other = second!.numbers(name);
    first!.numbers(name).forEach((value, i) => (largest = Math.max(largest, Math.abs(value - other[i]!))));
  }
  return largest;
}
const weights = (folder: string, step = "000010"): string =>
  place.path(folder, `checkpoints/step-${step}/model/model.safetensors`);

/** How near a draw of the run came to another token; every one of its ten steps says it. */
async function smallestMargin(folder: string): Promise<number> {
  const lines = await readMetrics(place.path(folder, "metrics.jsonl"));
  const margins = lines.filter((line) => "step_seconds" in line).map((line) => Number(line["sampling_margin_min"]));
  expect(margins).toHaveLength(10);
  return Math.min(...margins);
}

describe("1, 2 and 4 ranks", () => {
  test("sharded or not, sample the same ids over ten steps and come to the same weights", async () => {
    const whole = ["--set", "shard_optimizer=false"];
    const runs: readonly (readonly [string, ...string[]])[] = [
      ["one"],
      ["two", "--nproc", "2"],
      ["four", "--nproc", "4"],
      ["two-whole", "--nproc", "2", ...whole],
      ["four-whole", "--nproc", "4", ...whole],
    ];
    for (const [folder, ...options] of runs)
      expect(await train(folder, ...options, ...evaluated())).toMatchObject({ code: 0 });
    for (const [folder] of runs) {
      expect(tokens(folder, 10), folder).toEqual(tokens("one", 10));
      const difference = largestDifference(weights("one"), weights(folder));
      expect(difference).toBeLessThan(1e-5);
      const margin = await smallestMargin(folder);
      expect(margin).toBeGreaterThan(0);
      expect(margin).toBeLessThan(1);
      console.log(
        `${folder}: smallest sampling margin ${margin.toPrecision(3)}, weights ${difference.toPrecision(2)} off`,
      );
    }
    // Counts and rewards are the same numbers; sums of losses differ in their last bits.
    const [one, two] = await Promise.all(["one", "two"].map((folder) => reproducibleMetrics(place.path(folder))));
    one!.forEach((line, i) =>
      Object.entries(line).forEach(([name, value]) => {
        const other = (two![i] as Record<string, unknown>)[name];
        if (typeof value === "number") expect(other, name).toBeCloseTo(value, 4);
        else expect(other).toEqual(value);
      }),
    );
  });

  test("a run goes on with another number of ranks", async () => {
    const steps: readonly (readonly [number, ...string[]])[] = [
      [2, "--nproc", "2"],
      [4, "--resume"],
      [6, "--resume", "--nproc", "4"],
    ];
    for (const [count, ...options] of steps)
      expect(await train("changing", "--set", `steps=${count}`, ...options)).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(
          count === 4 ? /resumed on other numerics: ranks 2 -> 1\./ : /done after/,
        ) as string,
      });
    expect(await readdir(place.path("changing/checkpoints/step-000002/state"))).toContain(
      "optimizer-00002-of-00002.safetensors",
    );
    expect(tokens("changing", 6)).toEqual(tokens("one", 6));
    expect(largestDifference(weights("one", "000006"), weights("changing", "000006"))).toBeLessThan(1e-5);
  });

  test("ten updates from recorded rollouts: gradients within 1e-5, weights within 1e-5, sharded or not", async () => {
    const run = (world_size: number, shard_optimizer: boolean, port: number) =>
      updates(`updates-${world_size}-${shard_optimizer}`, { world_size, shard_optimizer, port });
    const whole = await run(1, true, 0);
    const read = (folder: string) =>
      JSON.parse(readFileSync(join(folder, "gradients.json"), "utf8")) as Record<string, readonly number[]>;
    const expected = read(whole);
    for (const folder of [await run(2, true, 29712), await run(2, false, 29713), await run(4, true, 29714)]) {
      const found = read(folder);
      for (const [name, values] of Object.entries(expected)) {
        const scale = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
        const difference = values.reduce((max, value, i) => Math.max(max, Math.abs(found[name]![i]! - value)), 0);
        expect(difference, name).toBeLessThanOrEqual(1e-5 * scale);
      }
      const [a, b] = [whole, folder].map((path) => join(path, "model.safetensors"));
      expect(largestDifference(a!, b!)).toBeLessThanOrEqual(1e-5);
    }
  });

  test("bfloat16: every microbatch reduced at once, with unequal numbers of them, comes to the same updates", async () => {
    const narrow = { dtype: "bfloat16", tokens_per_microbatch: 150, shard_optimizer: true };
    const alone = statsOf(await updates("narrow-1", { ...narrow, world_size: 1, port: 0 }));
    const shared = statsOf(await updates("narrow-2", { ...narrow, world_size: 2, port: 29716 }));
    // A weight that rounds the other way changes the updates after it.
    for (const i of [0, 1, 2]) expect(shared[i]!.grad_norm / alone[i]!.grad_norm).toBeCloseTo(1, 4);
    for (const [i, { loss }] of alone.entries()) expect(shared[i]!.loss).toBeCloseTo(loss, 2);
  });
});

describe("gradients that leave while the backward pass runs, and weights held in pieces", () => {
  /** So few elements travel together that a block's leave one after the other; ranks differ in their microbatches. */
  const cut = {
    ...{ shard_optimizer: true, shard_parameters: true, activation_checkpointing: true },
    ...{ reduce_bucket_elements: 20_000, tokens_per_microbatch: 150 },
  };

  test.each([
    [2, 29717],
    [4, 29718],
  ])("%i ranks come to the weights of one", async (world_size, port) => {
    const alone = await updates("whole-1", { ...cut, world_size: 1, port: 0 });
    const shared = await updates(`pieces-${world_size}`, { ...cut, world_size, port });
    const [a, b] = [alone, shared].map((path) => join(path, "model.safetensors"));
    expect(largestDifference(a!, b!)).toBeLessThanOrEqual(1e-5);
  });

  const only = (part: "language_model" | "connector") => ({
    ...{ train_vision_tower: false, train_connector: part === "connector" },
    train_language_model: part === "language_model",
  });
  test.each([
    ["a frozen language model", { trainable: only("connector") }, 29720],
    ["an adapter", { trainable: only("language_model"), lora: { rank: 4, alpha: 8, targets: "all_linear" } }, 29721],
  ])("%s", async (name, changes, port) => {
    const few = { ...cut, ...changes };
    const alone = await updates(`${name}-1`, { ...few, world_size: 1, port: 0 });
    const shared = await updates(`${name}-2`, { ...few, world_size: 2, port });
    const [a, b] = [alone, shared].map((path) => join(path, "model.safetensors"));
    expect(largestDifference(a!, b!)).toBeLessThanOrEqual(1e-5);
    expect(statsOf(shared)[0]!.grad_norm).toBeGreaterThan(0);
  });

  test("bfloat16: the same updates until a weight rounds the other way", async () => {
    const narrow = { ...cut, dtype: "bfloat16" };
    const alone = statsOf(await updates("narrow-whole-1", { ...narrow, world_size: 1, port: 0 }));
    const shared = statsOf(await updates("narrow-pieces-2", { ...narrow, world_size: 2, port: 29719 }));
    for (const i of [0, 1, 2]) expect(shared[i]!.grad_norm / alone[i]!.grad_norm).toBeCloseTo(1, 4);
  });

  test("a run with weights in pieces repeats itself bit for bit, and goes on from its checkpoint", async () => {
    const options = ["--nproc", "2", "--set", "shard_parameters=true", "--set", "activation_checkpointing=true"];
    expect(await train("pieces-a", ...options)).toMatchObject({ code: 0 });
    expect(await train("pieces-b", ...options, "--set", "steps=3")).toMatchObject({ code: 0 });
    expect(await train("pieces-b", ...options, "--resume")).toMatchObject({ code: 0 });
    expect(largestDifference(weights("pieces-a"), weights("pieces-b"))).toBe(0);
    expect(tokens("pieces-a", 10)).toEqual(tokens("pieces-b", 10));
  });
});

const statsOf = (folder: string) =>
  JSON.parse(readFileSync(join(folder, "stats.json"), "utf8")) as { grad_norm: number; loss: number }[];

/** Ten updates from recorded rollouts on every rank; what rank 0 wrote is in the folder. */
async function updates(
  name: string,
  options: { readonly world_size: number; readonly port: number; readonly [key: string]: unknown },
) {
  const folder = place.path(name);
  const ranks = Array.from({ length: options.world_size }, (_, rank) =>
    node("test/helpers/rank-updates.mjs", { ...{ model: place.model, folder, rank, data: data() }, ...options }),
  );
  expect(await Promise.all(ranks)).toEqual(ranks.map(() => 0));
  return folder;
}
