import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { tableFromIPC } from "apache-arrow";
import { beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import {
  hashes,
  type Ran,
  reproducibleMetrics,
  sightloop,
  smallConfig,
  smallRun,
  start,
  trainHere,
  workspace,
} from "./support.js";

const place = workspace();
const short_run = { steps: 1, evaluate: {}, datasets: { train: smallRun.datasets.train } };

beforeAll(() => {
  mkdirSync(place.path("project", "rewards"), { recursive: true });
  const write = (name: string, text: string): void => writeFileSync(place.path("project", "rewards", name), text);
  write("clock.ts", "export default (_: unknown, { zero }: { zero: number }) => (Date.now() - zero) / 1000;\n");
  write(
    "picky.ts",
    `import { defineReward } from "sightloop/rewards";
     export default defineReward({
       score({ completion, token_count }) {
         if (completion.length % 3 === 0) throw new RangeError("a third of them");
         return completion.length / 7 - token_count - 0.01;
       },
     });`,
  );
  write("loop.js", "export default () => { for (;;); };\n");
});
const module = (name: string, more: object = {}) => ({ module: place.path("project", "rewards", name), ...more });
const failures = ({ events }: Ran): readonly string[] =>
  events.flatMap((event) => (event.type === "note" && event.message.includes("failed") ? [event.message] : []));
const rows = (run_folder: string) =>
  tableFromIPC(readFileSync(place.path(run_folder, "rollouts", "step-000001.arrow"))).toArray() as readonly {
    prompt_id: bigint;
    reward: number;
    reward_breakdown: { picky: number };
    completion: string;
    advantages: Iterable<number>;
    completion_mask: Iterable<boolean>;
  }[];

test("a finished completion is graded in a worker while the engine samples the others", async () => {
  const zero = Date.now();
  const sampled: number[] = [];
  const config = smallConfig(place.model, place.path("overlap"), {
    ...short_run,
    sampling: { max_completion_tokens: 24, max_concurrent_completions: 1 },
    rewards: [module("clock.ts", { params: { zero } })],
  });
  const { runTrain } = await import("../../src/pipeline/run.js");
  const options = { resume: false, command: "", base_folder: "." };
  for await (const event of runTrain(config, options, new AbortController().signal))
    if (event.type === "progress" && event.phase === "rollout") sampled.push((Date.now() - zero) / 1000);
  const graded = rows("overlap").map(({ reward }) => reward);
  expect(sampled).toHaveLength(12);
  expect(graded).toHaveLength(12);
  const last = Math.max(...sampled);
  expect(graded.filter((time) => time < last).length).toBeGreaterThan(6);
});

describe("a module that throws for some completions", () => {
  const run = (on_error: string, run_folder: string, more: object = {}) =>
    trainHere(
      smallConfig(place.model, place.path(run_folder), {
        ...short_run,
        rewards: [module("picky.ts", { on_error })],
        ...more,
      }),
    );

  test("mask: they take no part in the group's mean and deviation, nor in the update", async () => {
    const ran = await run("mask", "masked");
    expect(ran.error).toBeUndefined();
    const [{ metrics }] = ran.events.filter((event) => event.type === "step") as unknown as [
      { metrics: Record<string, number> },
    ];
    const kept = rows("masked");
    expect(kept.length).toBe(12 - metrics["masked_completions"]!);
    expect(metrics["masked_completions"]).toBeGreaterThan(0);
    expect(metrics["reward_error.picky"]).toBeCloseTo(metrics["masked_completions"]! / 12, 12);
    expect(failures(ran)).toEqual([
      expect.stringMatching(
        /^step 1: reward "picky" failed for \d+ of 12 completions \(0 timeouts, \d+ errors\); the first: it threw RangeError: a third of them at \S*picky\.ts:4:\d+$/,
      ),
    ]);
    for (const { completion } of kept) expect(completion.length % 3).not.toBe(0);
    const tokens = kept.reduce((sum, row) => sum + [...row.completion_mask].filter(Boolean).length, 0);
    expect(metrics["completion_tokens"]).toBe(tokens);
    for (const { prompt_id, reward, advantages } of kept) {
      const group = kept.filter((row) => row.prompt_id === prompt_id).map((row) => row.reward);
      const mean = group.reduce((sum, value) => sum + value, 0) / group.length;
      const deviation = Math.sqrt(group.reduce((sum, value) => sum + (value - mean) ** 2, 0) / group.length);
      expect([...advantages].at(-1)).toBeCloseTo((reward - mean) / (deviation + 1e-4), 4);
    }
  });

  test("zero: they count 0, and are reported", async () => {
    const ran = await run("zero", "zeroed");
    expect(ran.error).toBeUndefined();
    expect(failures(ran)).toHaveLength(1);
    const all = rows("zeroed");
    expect(all).toHaveLength(12);
    for (const { completion, reward_breakdown } of all)
      expect(reward_breakdown.picky === 0).toBe(completion.length % 3 === 0);
  });

  test("fail: the run stops, naming reward, sample and line", async () => {
    const { error } = await run("fail", "failed");
    expect(error).toMatchObject({
      code: "REWARD_FAILED",
      message: expect.stringMatching(
        /^reward "picky" threw RangeError: .*picky\.ts:4:\d+ for sample "fashion_grid-/,
      ) as string,
    });
  });

  test("the run is the same bit for bit with one worker and with three", async () => {
    for (const reward_workers of [1, 3])
      expect((await run("mask", `workers-${reward_workers}`, { steps: 2, reward_workers })).error).toBeUndefined();
    expect(await reproducibleMetrics(place.path("workers-3"))).toEqual(
      await reproducibleMetrics(place.path("workers-1")),
    );
    const model = (n: number) => hashes(place.path(`workers-${n}`, "checkpoints", "step-000002", "model"));
    expect(model(3)).toEqual(model(1));
  });
});

describe("from the command line", () => {
  const config = (changes: object = {}): string => {
    const text = stringify({
      ...smallRun,
      ...short_run,
      model: { path: place.model },
      rewards: [{ name: "accuracy" }, { module: "./rewards/picky.ts", on_error: "mask" }],
      ...changes,
    });
    writeFileSync(place.path("project", "run.yaml"), text);
    return "project/run.yaml";
  };

  test("a module is found beside its config, also when the run is resumed from its own folder", async () => {
    const args = ["train", config(), "--run-folder", "beside"];
    expect(await sightloop(args, place.folder)).toMatchObject({ code: 0 });
    const again = await sightloop(["train", "--run-folder", place.path("beside"), "--resume", "--set", "steps=2"], "/");
    expect(again.code, again.stderr).toBe(0);
    const file = place.path("project", "rewards", "picky.ts");
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replace("/ 7", "/ 8"));
    const changed = await sightloop(["train", "--run-folder", "beside", "--resume", "--set", "steps=3"], place.folder);
    writeFileSync(file, text);
    expect(changed).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("is not the one that the config's sha256") as string,
    });
  });

  test("Ctrl-C ends a run whose reward never returns", async () => {
    const looping = config({ rewards: [{ module: "rewards/loop.js" }], reward_timeout_ms: 600_000 });
    const { child, done } = start(["train", looping, "--run-folder", "looping", "--json"], place.folder);
    let seen = "";
    await new Promise<void>((go) =>
      child.stdout.on("data", (text) => ((seen += String(text)), /"done":12/.test(seen) && go())),
    );
    await sleep(100);
    child.kill("SIGINT");
    const { code, stderr } = await done;
    expect({ code, stderr }).toMatchObject({
      code: 130,
      stderr: expect.stringContaining("interrupted after step 0") as string,
    });
  });

  test("rewards test prints what each reward says of truth, wrong answer and nothing, and what fails", async () => {
    const { code, stdout, stderr } = await sightloop(
      ["rewards", "test", config(), "--rows", "3", "--sample", "2"],
      place.folder,
    );
    for (const kind of ["truth", "wrong", "empty", "sampled"])
      expect(stdout).toMatch(new RegExp(`^fashion_grid-\\S+ {2}${kind} `, "m"));
    expect(stdout).toMatch(/^accuracy +18 +0 +0 +1 +1 +0 +0 /m);
    expect(stdout).toMatch(/^fashion_grid-\S+ {2}empty .* error /m);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^error: reward "picky" gave no number for \d+ of 18 completions; the first, row fashion_grid-\S+ \((truth|wrong|empty)\): it threw RangeError/,
    );
    expect(stderr).not.toContain("    at ");
  });

  test("rewards test grades the completions of a file", async () => {
    const lines = [
      { completion: "The total is 5.", answer: "5" },
      { completion: "6", answer: "5", finish_reason: "length", token_count: 9 },
    ];
    writeFileSync(place.path("given.jsonl"), lines.map((line) => JSON.stringify(line)).join("\n"));
    const args = [
      "rewards",
      "test",
      config({ rewards: [{ name: "accuracy" }, { name: "no_eos", mode: "replace" }] }),
      "--completions",
      "given.jsonl",
      "--json",
    ];
    const { code, stdout } = await sightloop(args, place.folder);
    expect(code).toBe(0);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as object),
    ).toMatchObject([
      { kind: "given", reward: 1, breakdown: { accuracy: 1, no_eos: 0 } },
      { kind: "given", reward: -0.1, breakdown: { accuracy: 0, no_eos: -0.1 } },
    ]);
  });

  test.each([
    [
      "no such module",
      ["--set", "rewards.1.module=./none.ts"],
      /reward module (?!\S*project)\S*\/none\.ts cannot be read/,
    ],
    ["a bad line", ["--completions", "project/run.yaml"], /run\.yaml:1: not JSON/],
  ])("rewards test: %s", async (_, more, message) => {
    const { code, stderr } = await sightloop(["rewards", "test", config(), ...more], place.folder);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringMatching(message) as string });
    expect(stderr).toMatch(/^hint: /m);
  });
});
