import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tableFromIPC } from "apache-arrow";
import { beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { SafetensorsFile } from "../helpers/safetensors.js";
import {
  hashes,
  type Outcome,
  reproducibleMetrics,
  type Rows,
  sightloop,
  smallRun,
  start,
  workspace,
  writeRows,
} from "./support.js";

/** Several processes train one model: real processes, real c10d, through the command line. */
const place = workspace();
const config = (): string => place.path("run.yaml");
let data: Rows;
/** Evaluates once: that loads a judge on every rank. */
let evaluated: readonly string[];

beforeAll(async () => {
  data = await writeRows(place.folder);
  evaluated = ["--set", `datasets.validation=${JSON.stringify(data)}`];
  const run = {
    ...smallRun,
    ...{ prompts_per_step: 4, completions_per_update: 8, steps: 6 },
    datasets: { train: data },
    evaluate: { ...smallRun.evaluate, every_steps: 0, max_items: 4 },
    model: { ...smallRun.model, path: place.model },
    rewards: [{ name: "accuracy" }, { name: "length", max_tokens: 4 }], // random models never answer right
    optimizer: { learning_rate: 1e-4, schedule: "constant" }, // `steps` may change
  };
  await writeFile(config(), stringify(run));
});

const train = (folder: string, ...options: readonly string[]): Promise<Outcome> =>
  sightloop(["train", config(), "--run-folder", place.path(folder), ...options]);

/** One process, as a launcher other than ours starts it. */
const startRank = (rank: number, world_size: number, port: number, ...options: readonly string[]) =>
  start(["train", config(), "--run-folder", place.path(`by-hand-${port}`), ...options], process.cwd(), {
    ...{ RANK: `${rank}`, WORLD_SIZE: `${world_size}`, MASTER_ADDR: "127.0.0.1", MASTER_PORT: `${port}` },
  });

/** Sampled ids of every step. */
function tokens(folder: string): readonly unknown[] {
  return [1, 2, 3, 4, 5, 6].map((step) => {
    const table = tableFromIPC(readFileSync(place.path(folder, "rollouts", `step-00000${step}.arrow`)));
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
const weights = (folder: string): string => place.path(folder, "checkpoints/step-000006/model/model.safetensors");

describe("1, 2 and 4 ranks", () => {
  test("sample the same ids and come to the same weights", async () => {
    for (const [folder, ...options] of [["one"], ["two", "--nproc", "2"], ["four", "--nproc", "4"]] as const)
      expect(await train(folder, ...options, ...evaluated)).toMatchObject({ code: 0 });
    for (const folder of ["two", "four"]) {
      expect(tokens(folder)).toEqual(tokens("one"));
      expect(largestDifference(weights("one"), weights(folder))).toBeLessThan(1e-5);
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
    expect(tokens("changing")).toEqual(tokens("one"));
    expect(largestDifference(weights("one"), weights("changing"))).toBeLessThan(1e-5);
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
    expect(tokens("pieces-a")).toEqual(tokens("pieces-b"));
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
    node("test/helpers/rank-updates.mjs", { ...{ model: place.model, folder, rank, data }, ...options }),
  );
  expect(await Promise.all(ranks)).toEqual(ranks.map(() => 0));
  return folder;
}

function node(script: string, options: object): Promise<number | null> {
  const child = spawn(process.execPath, [script, JSON.stringify(options)], { stdio: ["ignore", "ignore", "inherit"] });
  return new Promise((resolve) => child.on("close", resolve));
}

describe("a rank that is lost", () => {
  const many = ["--nproc", "2", "--set", "steps=400"];

  /** Rank 1 of a run of two, by what Linux says of its environment. */
  async function pidOfRank(rank: number, folder: string): Promise<number> {
    for (const name of await readdir("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      try {
        const environment = readFileSync(`/proc/${name}/environ`, "utf8");
        const command = readFileSync(`/proc/${name}/cmdline`, "utf8");
        if (environment.includes(`\0RANK=${rank}\0`) && command.includes(place.path(folder))) return Number(name);
      } catch {
        // gone meanwhile
      }
    }
    throw new Error(`no process of rank ${rank}`);
  }

  test("ends the run at once, by name, and leaves the last checkpoint whole", async () => {
    const run = start(["train", config(), "--run-folder", place.path("killed"), ...many]);
    await run.line(/saved .*step-000002/);
    process.kill(await pidOfRank(1, "killed"), "SIGKILL");
    const killed = performance.now();
    const { code, stderr } = await run.done;
    expect(code, stderr).toBe(3);
    expect(stderr).toMatch(/error: rank 1 on 127\.0\.0\.1 is gone: .*phase of step \d+/);
    expect(performance.now() - killed).toBeLessThan(30_000);
    expect(await train("killed", "--resume", "--set", "steps=4")).toMatchObject({ code: 0 });
  });

  test("one that computes for long, its main thread too, is not", async () => {
    const ranks = [0, 4000].map((busy_ms, rank) => node("test/helpers/busy-rank.mjs", { rank, port: 29715, busy_ms }));
    expect(await Promise.all(ranks)).toEqual([0, 0]);
  });

  test("--max-restarts goes on by itself, to the same end bit for bit", async () => {
    const ten = ["--nproc", "2", "--set", "steps=10"];
    const run = start(["train", config(), "--run-folder", place.path("restarted"), ...ten, "--max-restarts", "1"]);
    await run.line(/step 3\/10/);
    process.kill(await pidOfRank(0, "restarted"), "SIGKILL");
    expect(await run.done).toMatchObject({ code: 0 });
    expect(await train("straight", ...ten)).toMatchObject({ code: 0 });
    const ignored = /manifest|metrics|config\.yaml/;
    expect(hashes(place.path("restarted"), ignored)).toEqual(hashes(place.path("straight"), ignored));
  });

  test("an interrupt of one rank stops all after the same step, with a checkpoint", async () => {
    const run = start(["train", config(), "--run-folder", place.path("interrupted"), ...many]);
    await run.line(/step 2\/400/);
    process.kill(await pidOfRank(1, "interrupted"), "SIGINT");
    const { code, stderr } = await run.done;
    expect(code).toBe(130);
    const [, step] = /error: interrupted after step (\d+) of 400/.exec(stderr)!;
    const name = `step-${step!.padStart(6, "0")}`;
    expect(readFileSync(place.path("interrupted/checkpoints/latest"), "utf8").trim()).toBe(name);
  });
});

describe("ranks that do not fit", () => {
  const quick = ["--rendezvous-timeout", "10"];
  test.each([
    ["another config", 29721, ["--set", "seed=3"], 2, /rank 1 has another value of seed than rank 0: 3, not 0/],
    ["another number of ranks", 29722, [], 3, /rank \d was started with WORLD_SIZE \d, rank \d with \d/],
  ] as const)("%s: refused on both", async (_, port, options, world_size, message) => {
    const ranks = [startRank(0, 2, port, ...quick), startRank(1, world_size, port, ...quick, ...options)];
    for (const { code, stderr } of await Promise.all(ranks.map(({ done }) => done))) {
      expect(code).toBe(2);
      expect(stderr).toMatch(message);
    }
  });

  test("one that is missing is named; so is a rank 0 that nobody finds, and a rank twice", async () => {
    const soon = ["--rendezvous-timeout", "3"];
    const outcomes = await Promise.all([
      startRank(0, 2, 29723, ...soon).done,
      startRank(1, 2, 29724, ...soon).done,
      ...[startRank(0, 3, 29725, ...quick).done, startRank(1, 3, 29725, ...quick).done],
      startRank(1, 3, 29725, ...quick).done,
    ]);
    for (const { code, stderr } of outcomes) expect(code, stderr).toBe(2);
    expect(outcomes[0].stderr).toMatch(/of 2 ranks these did not arrive within 3 s: 1\./);
    expect(outcomes[1].stderr).toMatch(/rank 1 found nothing at 127\.0\.0\.1:29724 within 3 s/);
    // Whoever comes late finds the others gone.
    for (const { stderr } of outcomes.slice(2))
      expect(stderr).toMatch(/rank 1 was started twice|rank 0 went away|found nothing/);
    expect(outcomes[2].stderr).toMatch(/rank 1 was started twice/);
  });

  test("fewer prompts than ranks, and places that are none", async () => {
    const one = ["--set", "prompts_per_step=1", "--set", "completions_per_update=4"];
    expect(await train("few", "--nproc", "2", ...one)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/prompts_per_step is 1, with 2 ranks some would have no prompt/) as string,
    });
    expect(await train("none", "--nproc", "0")).toMatchObject({ code: 2 });
    expect(await train("none", "--nproc", "1", "--nodes", "2")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/--nodes needs --master/) as string,
    });
    expect(await startRank(2, 2, 29726).done).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/RANK is 2, but the 2 ranks of WORLD_SIZE count from 0/) as string,
    });
  });
});
