import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { planStudy } from "../../../src/study/plan.js";
import { checkDefinitions, openState, readState } from "../../../src/study/state.js";
import { studyWork } from "../../../src/study/work.js";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "sightloop-plan-"));
  await writeFile(
    join(root, "base.yaml"),
    "steps: 10\nmodel: { path: m }\ndatasets: { train: { name: fashion_grid, count: 64 } }\nprompts_per_step: 4\noptimizer: { learning_rate: 1.0e-3 }\n",
  );
});
afterAll(() => rm(root, { recursive: true, force: true }));

const plan = async (text: string, ...set: string[]) => {
  const file = join(root, "study.yaml");
  await writeFile(file, text);
  return planStudy(file, set);
};
const good = `
name: s
seeds: [0, 1]
entries:
  random: { init: { preset: fashion_grid_tiny } }
  warm: { sft: base.yaml, from: random }
  more: { sft: base.yaml, from: warm, set: { steps: 20, optimizer.learning_rate: 5.0e-4 } }
`;

test("runs stand after what they start from, seed by seed; overrides and seeds reach the configs", async () => {
  const { runs } = await plan(good);
  expect(runs.map(({ id }) => id)).toEqual(
    [0, 1].flatMap((seed) => ["random", "warm", "more"].map((name) => `${name}/seed-${seed}`)),
  );
  expect(runs[5]).toMatchObject({
    from: "warm/seed-1",
    config: { seed: 1, steps: 20, optimizer: { learning_rate: 5e-4 } },
  });
  expect(new Set(runs.map(({ definition }) => definition)).size).toBe(6);
});

test("a change of an entry changes the definitions of those that start from it, and no others; threads change none", async () => {
  const definitions = async (...set: string[]) => (await plan(good, ...set)).runs.map(({ definition }) => definition);
  const before = await definitions();
  const after = await definitions("entries.warm.set.steps=11");
  expect(after.map((one, i) => one === before[i])).toEqual([true, false, false, true, false, false]);
  expect(await definitions("threads=1", "jobs=2")).toEqual(before);
});

test("a grid multiplies the runs", async () => {
  const grid =
    "grid={rate: {low: {optimizer.learning_rate: 1}, high: {optimizer.learning_rate: 2}}, model: {a: {init.preset: x}, b: {}}}";
  const { runs } = await plan(good, grid);
  expect(runs).toHaveLength(24);
  const warm = runs.find(({ id }) => id === "high/a/warm/seed-0")!;
  expect(warm).toMatchObject({ from: "high/a/random/seed-0", config: { optimizer: { learning_rate: 2 } } });
  expect(runs.find(({ id }) => id === "low/a/random/seed-0")!.options).toEqual({ preset: "x" });
});

describe("bad studies", () => {
  test.each([
    ["an unknown key", [], good.replace("name: s", "nmae: s"), "nmae: unknown key"],
    ["no seed", ["seeds=[]"], good, "at least one seed is needed"],
    ["a seed twice", ["seeds=[1, 1]"], good, "a seed is listed twice"],
    ["an entry twice", [], `${good}  warm: { sft: base.yaml }\n`, "not valid YAML: Map keys must be unique"],
    ["no training", ["entries={random: {init: {preset: fashion_grid_tiny}}}"], good, "no entry trains anything"],
    ["a circle", ["entries.warm.from=more"], good, "warm from more from warm: a circle"],
    ["an unknown entry", ["entries.warm.from=cold"], good, 'entries.warm.from: there is no entry "cold"'],
    ["a start from data", ["entries.more.data=warm"], good, '"warm" is of kind sft; expected sample'],
    [
      "two kinds",
      ["entries.more.train=base.yaml"],
      good,
      "needs exactly one of init, sft, train, sample, start_of; has sft and train",
    ],
    ["a missing file", ["entries.more.sft=none.yaml"], good, "entries.more.sft: "],
    ["an unknown override", ["entries.more.set={stepz: 3}"], good, 'stepz: unknown key; did you mean "steps"?'],
    [
      "a start that is not measured",
      ["entries.v={start_of: more}", "set={evaluate.before_training: false}"],
      good,
      '"more" is not evaluated before its first step',
    ],
    ["an unknown baseline", ["report.baseline=x"], good, 'report.baseline: there is no entry "x"'],
    ["overrides of nothing", ["entries.random.set={a: 1}"], good, "set: is for sft and train entries"],
  ] as const)("%s", async (_, set, text, message) => {
    await expect(plan(text, ...set)).rejects.toThrow(message);
    await expect(plan(text, ...set)).rejects.toMatchObject({ hint: expect.any(String) as string });
  });
});

describe("the study's folder", () => {
  test("of another study, or with other files, is refused", async () => {
    const folder = join(root, "held");
    await (await openState(folder, "a"))[Symbol.asyncDispose]();
    await expect(openState(folder, "b")).rejects.toThrow('holds the study "a", not "b"');
    await writeFile(join(folder, "study.json"), "{");
    await expect(readState(folder, "a")).rejects.toThrow("is damaged");
    await rm(join(folder, "study.json"));
    await writeFile(join(folder, "other.txt"), "");
    await expect(readState(folder, "a")).rejects.toThrow("is not empty and holds no study");
  });

  test("is held by one process at a time", async () => {
    const folder = join(root, "locked");
    await using _held = await openState(folder, "a");
    await expect(openState(folder, "a")).rejects.toThrow("in use");
  });

  test("runs of other values are named", () => {
    const states = new Map([["a/seed-0", { definition: "old", state: "finished", seconds: 1 } as const]]);
    expect(() => checkDefinitions("f", [{ id: "a/seed-0", definition: "new" }], states)).toThrow("a/seed-0");
    expect(() => checkDefinitions("f", [{ id: "a/seed-0", definition: "old" }], states)).not.toThrow();
  });
});

test("the shipped study: 21 runs, their work, and the detectable difference of each split", async () => {
  const shipped = await planStudy("configs/study_fashion_grid.yaml", []);
  const { runs, power } = studyWork(shipped, new Map());
  expect(runs).toHaveLength(21);
  expect(runs.every(({ steps, sampled, evaluated }) => ![steps, sampled, evaluated].includes(undefined))).toBe(true);
  expect(runs.find(({ id }) => id === "rl/seed-0")).toMatchObject({ steps: 120, sampled: 120 * 512, state: "missing" });
  expect(power.map(({ split, num_items }) => [split, num_items])).toEqual([
    ...[["validation", 250] as const, ["in", 1000] as const],
    ...["out_pairs", "out_prices", "out_inverted"].map((split) => [split, 500] as const),
  ]);
  expect(power[1]!.detectable_difference).toBeCloseTo(0.0667, 3);
});
