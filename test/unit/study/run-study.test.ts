import { appendFile, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { StudyEvent } from "../../../src/study/events.js";
import { planStudy } from "../../../src/study/plan.js";
import { studyReport } from "../../../src/study/report/study-report.js";
import { runStudy } from "../../../src/study/run-study.js";
import { readState } from "../../../src/study/state.js";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "sightloop-study-"));
  const base =
    "steps: 2\nmodel: { path: m }\ndatasets: { train: { name: fashion_grid, count: 64 } }\nprompts_per_step: 4\noptimizer: { learning_rate: 1.0e-3 }\n";
  await writeFile(join(root, "sft.yaml"), base);
  await writeFile(
    join(root, "rl.yaml"),
    `${base}completions_per_prompt: 2\ncompletions_per_update: 8\nalgorithm: { name: grpo }\nrewards: [{ name: accuracy }]\n`,
  );
  await writeFile(
    join(root, "study.yaml"),
    `name: fake
seeds: [0, 1, 2]
jobs: 2
set:
  datasets.tests: { in: { name: fashion_grid, count: 200 }, out: { name: fashion_grid, count: 200 } }
  evaluate.splits: [in, out]
entries:
  random: { init: { preset: fashion_grid_tiny } }
  warm: { sft: sft.yaml, from: random, label: null }
  vanilla: { start_of: rl }
  rl: { train: rl.yaml, from: warm }
  drawn: { sample: { dataset: { name: fashion_grid, count: 10 } }, from: warm }
  rft: { sft: sft.yaml, from: warm, data: drawn }
report: { in_distribution: [in], out_of_distribution: [out] }
`,
  );
});
afterAll(() => rm(root, { recursive: true, force: true }));

const program = [process.execPath, resolve("test/helpers/fake-cli.mjs")];

async function run(
  folder: string,
  env: Record<string, string> = {},
  options: { redo?: string[]; interrupt_at?: string } = {},
) {
  const plan = await planStudy(join(root, "study.yaml"), [], join(root, folder));
  const { redo = [], interrupt_at } = options;
  const interrupt = new AbortController();
  const { signal } = interrupt;
  Object.assign(process.env, { FAKE_FAIL: "-", FAKE_SLOW: "-", ...env });
  const events: StudyEvent[] = [];
  const running = runStudy(plan, { program, command: "again", redo }, signal);
  const started = (): string[] => events.filter(({ type }) => type === "run_started").map(({ id }) => id);
  for (;;) {
    const next = await running.next();
    if (next.done === true) return { plan, events, started: started(), outcome: next.value };
    events.push(next.value);
    if (next.value.type === "run_progress" && next.value.id === interrupt_at) interrupt.abort();
  }
}

test("a failed run leaves out those that need it; the next start makes only what lacks; then nothing is left", async () => {
  const first = await run("a", { FAKE_FAIL: "warm/seed-1" });
  expect(first.outcome).toEqual({ failed: ["warm/seed-1"], skipped: ["rl/seed-1", "drawn/seed-1", "rft/seed-1"] });
  expect(first.events.find(({ type }) => type === "run_failed")).toMatchObject({ error: "the disk is made of cheese" });
  const second = await run("a");
  expect(second.started.sort()).toEqual(["drawn/seed-1", "rft/seed-1", "rl/seed-1", "warm/seed-1"]);
  expect(second.outcome).toEqual({ failed: [], skipped: [] });
  expect((await run("a")).started).toEqual([]);
  const config = await readFile(join(root, "a", "rft", "seed-1", "config.yaml"), "utf8");
  expect(config).toContain(join(root, "a", "warm/seed-1/checkpoints/step-000002/model"));
  expect(config).toContain(join(root, "a", "drawn/seed-1/data/data.jsonl"));
});

test("redo makes an entry and what starts from it again", async () => {
  expect((await run("a", {}, { redo: ["rl"] })).started.sort()).toEqual(["rl/seed-0", "rl/seed-1", "rl/seed-2"]);
  expect((await run("a", {}, { redo: ["warm/seed-0"] })).started).toHaveLength(4);
  await expect(run("a", {}, { redo: ["nobody"] })).rejects.toThrow("no such entry or run");
});

test("an interrupt reaches the runs; they are resumed, or made anew where their checkpoint is damaged", async () => {
  await expect(run("b", { FAKE_SLOW: "warm/seed-0" }, { interrupt_at: "warm/seed-0" })).rejects.toMatchObject({
    ...{ code: "INTERRUPTED", hint: "Go on with: again" },
  });
  const states = await readState(join(root, "b"), "fake");
  expect(states.get("warm/seed-0")?.state).toBe("started");
  await writeFile(join(root, "b", "warm", "seed-0", "checkpoints", "step-000002", "cursor.json"), "{");
  const { events, outcome } = await run("b");
  expect(outcome.failed).toEqual([]);
  const again = events.find(({ type, id }) => type === "run_started" && id === "warm/seed-0");
  expect(again).toMatchObject({ is_resumed: false, note: expect.stringContaining("made anew") as string });

  await expect(run("b", { FAKE_SLOW: "rl/seed-2" }, { redo: ["rl"], interrupt_at: "rl/seed-2" })).rejects.toThrow(
    "interrupted",
  );
  const resumed = await run("b");
  expect(resumed.events).toContainEqual(
    expect.objectContaining({ type: "run_started", id: "rl/seed-2", is_resumed: true }),
  );
  expect(resumed.outcome.failed).toEqual([]);
}, 300_000);

const reportOn = async (folder: string) => {
  const plan = await planStudy(join(root, "study.yaml"), [], join(root, folder));
  return studyReport(plan, await readState(plan.folder, "fake"));
};
const rowsOf = async (folder: string, id: string) =>
  (await reportOn(folder)).report.tables.find((table) => table.id === id)!.rows;

test("the tables: mean, maximum and last accuracy, tests of every pair, the findings", async () => {
  const accuracy = await rowsOf("a", "study-accuracy");
  expect(accuracy.map(([split, , entry, seeds, items]) => [split, entry, seeds, items])).toEqual(
    ["in", "out"].flatMap((split) => ["vanilla", "rl", "rft"].map((entry) => [split, entry, "3", "200"])),
  );
  expect(accuracy[1]!.slice(5, 8)).toEqual(["80.0 ± 0.0", "80.0 ± 0.0", "80.0 ± 0.0"]);
  const comparisons = await rowsOf("a", "study-comparisons");
  expect(comparisons.map(([a, b, split]) => `${a} ${b} ${split}`)).toEqual([
    ...["rl vanilla in", "rl vanilla out", "rft vanilla in", "rft vanilla out", "rl rft in", "rl rft out"],
  ]);
  expect(comparisons[0]).toMatchObject({ 4: "30.0", 9: "better" });
  const { findings } = await reportOn("a");
  expect(findings.map(({ verdict }) => verdict)).toEqual(["cannot be judged", "cannot be judged", "shows"]);
});

test("a half-written line is left out and reported, a run without metrics too", async () => {
  const metrics = (id: string) => join(root, "a", id, "metrics.jsonl");
  await appendFile(metrics("rl/seed-0"), '{"type":"evaluated","step":9,"spl\n');
  await truncate(metrics("rft/seed-0"), 0);
  const { report } = await reportOn("a");
  expect(report.problems).toContainEqual(expect.objectContaining({ run: "rl/seed-0", file: "metrics.jsonl" }));
  const rows = report.tables.find(({ id }) => id === "study-accuracy")!.rows;
  expect(rows.filter((row) => row[2] === "rft").map((row) => row[3])).toEqual(["2", "2"]);
});

test("a report before any run says so", async () => {
  await expect(reportOn("empty")).rejects.toThrow("holds no run of the study yet");
});
