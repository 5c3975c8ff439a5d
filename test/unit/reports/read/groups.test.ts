import { describe, expect, test } from "vitest";
import { differingValues, groupRuns, meanAndStd, meanCurve, median } from "../../../../src/reports/read/groups.js";
import { shortNames } from "../../../../src/reports/read/run-folder-reader.js";
import { reflectionPlaces } from "../../../../src/reports/reflection.js";
import { reflectionStatistics } from "../../../../src/reports/reflection-statistics.js";
import { stepTime } from "../../../../src/reports/read/step-time.js";

const run = (name: string, config: object) => ({ name, config: config as Readonly<Record<string, unknown>> });

describe("runs of one config are seeds of one group", () => {
  test("the seed, its folders and the threads make no other experiment; a learning rate does", () => {
    const groups = groupRuns([
      run("a/seed-0", {
        seed: 0,
        run_folder: "a/seed-0",
        model: { path: "sft/seed-0/model" },
        optimizer: { learning_rate: 1 },
        threads: 2,
      }),
      run("a/seed-1", {
        seed: 1,
        run_folder: "a/seed-1",
        model: { path: "sft/seed-1/model" },
        optimizer: { learning_rate: 1 },
        threads: 4,
      }),
      run("b/seed-0", {
        seed: 0,
        run_folder: "b/seed-0",
        model: { path: "sft/seed-0/model" },
        optimizer: { learning_rate: 2 },
        threads: 2,
      }),
    ]);
    expect(groups.map(({ name, runs }) => [name, runs.map((one) => one.name)])).toEqual([
      ["a", ["a/seed-0", "a/seed-1"]],
      ["b/seed-0", ["b/seed-0"]],
    ]);
  });

  test("a model of another size is another experiment, a run without a config stands alone", () => {
    const groups = groupRuns([
      run("a", { model: { path: "qwen_3b" } }),
      run("b", { model: { path: "qwen_7b" } }),
      run("c", {}),
      run("d", {}),
    ]);
    expect(groups.map(({ runs }) => runs.length)).toEqual([1, 1, 1, 1]);
  });

  test("one group is named by what its runs' names share", () => {
    expect(groupRuns([run("grpo/seed-0", { seed: 0 }), run("grpo/seed-1", { seed: 1, steps: 2 })])).toHaveLength(2);
    const config = { algorithm: { name: "grpo" } };
    expect(groupRuns([run("grpo/seed-0", config), run("grpo/seed-1", config)])[0]!.name).toBe("grpo");
    const both = ["sft", "rl"].flatMap((kind) =>
      [0, 1].map((seed) => run(`demo/seed-${seed}/${kind}`, { kind, seed })),
    );
    expect(groupRuns(both).map(({ name }) => name)).toEqual(["demo/sft", "demo/rl"]);
    const bare = groupRuns([run("seed-0", config), run("seed-1", config)]);
    expect(bare.map(({ name }) => name)).toEqual(["seed-0"]);
  });

  test("groups without a name of their own are named by what differs", () => {
    const config = (learning_rate: number) => ({ optimizer: { learning_rate }, steps: 5 });
    const groups = groupRuns(["1", "2", "3", "4"].map((name, i) => run(name, config(i < 2 ? 1e-5 : 3e-5))));
    expect(groups.map(({ name }) => name)).toEqual(["learning_rate 0.00001", "learning_rate 0.00003"]);
  });

  test("differing values name what one of them lacks", () => {
    const [first, second] = differingValues([
      { a: 1, b: { c: "x" } },
      { a: 1, b: { d: "y" } },
    ]);
    expect(Object.fromEntries(first!)).toEqual({ "b.c": "x", "b.d": "-" });
    expect(Object.fromEntries(second!)).toEqual({ "b.c": "-", "b.d": "y" });
  });
});

test.each([
  [
    ["/x/runs/grpo/seed-0", "/x/runs/grpo/seed-1"],
    ["grpo/seed-0", "grpo/seed-1"],
  ],
  [
    ["/x/runs/a", "/x/runs/b/c"],
    ["a", "b/c"],
  ],
  [["/x/runs/a"], ["a"]],
  [["/x/runs/grpo/seed-0"], ["grpo/seed-0"]],
])("short names of %j", (folders, names) => expect(shortNames(folders)).toEqual(names));

describe("means", () => {
  test("over the runs that have the step", () => {
    expect(
      meanCurve([
        [
          [1, 1],
          [2, 3],
        ],
        [[2, 5]],
      ]),
    ).toEqual([
      { step: 1, mean: 1, std: 0, num_runs: 1 },
      { step: 2, mean: 4, std: Math.SQRT2, num_runs: 2 },
    ]);
  });
  test("standard deviation of a sample, median of an even number", () => {
    expect(meanAndStd([1, 2, 3, 4])).toEqual({ mean: 2.5, std: Math.sqrt(5 / 3) });
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });
});

describe("where a step's time goes", () => {
  const seconds = { data_seconds: 1, rollout_seconds: 5, grading_wait_seconds: 1, trajectory_seconds: 1 };
  const update = { update_seconds: 10, forward_seconds: 3, backward_seconds: 5, optimizer_seconds: 1 };
  const point = (step: number, metrics: object) => ({ step, metrics: metrics as Readonly<Record<string, number>> });

  test("parts are disjoint, make up the step, and the largest is the bottleneck", () => {
    const warm_up = point(1, { ...seconds, ...update, step_seconds: 1000 });
    const time = stepTime([warm_up, point(2, { ...seconds, ...update, step_seconds: 20 })])!;
    expect(Object.fromEntries(time.parts.map(({ name, seconds: of }) => [name, of]))).toEqual({
      ...{ data: 1, sampling: 4, "waiting for grades": 1, scoring: 1, forward: 3, backward: 5, optimizer: 1 },
      ...{ "rest of the update": 1, "between the phases": 3 },
    });
    expect(time.parts.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
    expect(time.bottleneck).toMatch(/^bottleneck: backward, 25 % of a step \(5\.0 of 20 s\); to try: /);
    expect(time.num_steps).toBe(1);
  });

  test("sft has no sampling; a run without times has none", () => {
    const time = stepTime([point(1, { data_seconds: 1, update_seconds: 2, step_seconds: 3 })])!;
    expect(time.parts.map(({ name }) => name)).toEqual(["data", "rest of the update"]);
    expect(stepTime([point(1, { loss: 1 })])).toBeUndefined();
    expect(stepTime([])).toBeUndefined();
  });
});

test("the five ratios of reflection", () => {
  const correct = Uint8Array.of(1, 1, 0, 0, 0);
  const completions = ["wait", "4", "check again, wait", "yet", "5"];
  const places = completions.map(reflectionPlaces);
  const { ratios, counts } = reflectionStatistics({ places, correct }, "word");
  expect(ratios).toEqual({
    reflective: 3 / 5,
    "reflective among correct": 1 / 2,
    "reflective among wrong": 2 / 3,
    "correct among reflective": 1 / 3,
    "correct among others": 1 / 2,
  });
  expect(Object.entries(counts).filter(([, count]) => count > 0)).toEqual([
    ["check again", 1],
    ["wait", 2],
    ["yet", 1],
  ]);
  expect(reflectionStatistics({ places, correct: null }, "word").ratios).toEqual({
    reflective: 0.6,
  });
  expect(reflectionStatistics({ places: [reflectionPlaces("5")], correct: Uint8Array.of(0) }, "word").ratios).toEqual({
    ...{ reflective: 0, "reflective among wrong": 0, "correct among others": 0 },
  });
});
