/** `sightloop study` and `sightloop sample` with the real engine: interrupted, killed, gone on with, reported. */
import { appendFileSync, existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { tableFromIPC } from "apache-arrow";
import { beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import type { StudyEvent } from "../../src/study/events.js";
import { hashes, sightloop, start, withoutProgress, workspace } from "./support.js";

const place = workspace();
const rows = ["4", "7", "9"].map((answer, i) => ({
  id: `row-${i}`,
  question: `what is ${i}?`,
  answer,
  solution: answer,
}));

beforeAll(() => {
  writeFileSync(place.path("rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const data = { name: "jsonl", path: place.path("rows.jsonl") };
  const common = {
    ...{ model: { path: "none" }, datasets: { train: data, validation: data }, prompts_per_step: 3 },
    evaluate: { settings: [{ name: "t1", temperature: 1, completions_per_prompt: 4 }] },
  };
  const sft = { ...common, steps: 40, max_completion_tokens: 6, optimizer: { learning_rate: 1e-2 } };
  const rl = {
    ...{ ...common, steps: 12, completions_per_prompt: 4, completions_per_update: 12 },
    sampling: { max_completion_tokens: 6 },
    algorithm: { name: "grpo" },
    optimizer: { learning_rate: 1e-4 },
    rewards: [{ name: "accuracy" }, { name: "language", weight: 0.5 }],
    checkpoint: { every_steps: 1 },
  };
  writeFileSync(place.path("sft.yaml"), stringify(sft));
  writeFileSync(place.path("rl.yaml"), stringify(rl));
  const entries = {
    random: { init: { preset: "fashion_grid_tiny" } },
    warm: { sft: "sft.yaml", from: "random", set: { "evaluate.before_training": false } },
    vanilla: { start_of: "rl" },
    rl: { train: "rl.yaml", from: "warm" },
  };
  writeFileSync(place.path("study.yaml"), stringify({ name: "small", seeds: [0, 1], threads: 1, entries }));
});

type Line = StudyEvent | { type: "report"; findings: readonly object[]; problems: readonly string[]; folder: string };
const linesOf = (stdout: string): readonly Line[] =>
  stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
const idsOf = (lines: readonly Line[], type: StudyEvent["type"]): readonly string[] =>
  lines.flatMap((line) => (line.type === type ? [line.id] : []));
const reportOf = (lines: readonly Line[]) => lines.find((line) => line.type === "report")!;

const study = (folder: string, ...more: string[]) => [
  "study",
  place.path("study.yaml"),
  "--folder",
  folder,
  "--json",
  ...more,
];

/** Processes whose command line names a file below the folder. */
const processesOf = (folder: string): readonly string[] =>
  readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`${folder}/`);
    } catch {
      return false;
    }
  });

async function untilGone(folder: string): Promise<void> {
  for (let i = 0; i < 200 && processesOf(folder).length > 0; i++) await sleep(50);
  expect(processesOf(folder)).toEqual([]);
}

describe("a study", () => {
  let whole: readonly Line[];
  beforeAll(async () => {
    const { code, stdout, stderr } = await sightloop(study(place.path("whole")));
    expect([code, withoutProgress(stderr)]).toEqual([0, ""]);
    whole = linesOf(stdout);
  });

  test.runIf(process.platform === "linux")(
    "interrupted, then killed, ends as one that was not; nothing finished is made again, no child outlives it",
    async () => {
      const folder = place.path("broken");
      const first = start(study(folder));
      await first.line(/"run_started","id":"random\/seed-0"/);
      const other = await sightloop(study(folder));
      expect([other.code, other.stdout]).toEqual([2, ""]);
      expect(other.stderr).toMatch(/^error: .* is in use/);
      await first.line(/"run_progress","id":"rl\/seed-0","step":2/);
      first.child.kill("SIGINT");
      const interrupted = await first.done;
      expect(interrupted.code).toBe(130);
      expect(interrupted.stderr).toContain("Go on with: sightloop study");
      await untilGone(folder);

      const second = start(study(folder));
      await second.line(/"run_progress","id":"rl\/seed-1","step":2/);
      second.child.kill("SIGKILL");
      const killed = linesOf((await second.done).stdout);
      await untilGone(folder);

      const { code, stdout } = await sightloop(study(folder));
      expect(code).toBe(0);
      const starts = [linesOf(interrupted.stdout), killed, linesOf(stdout)];
      expect(starts.map((lines) => idsOf(lines, "run_finished"))).toEqual([
        ["random/seed-0", "warm/seed-0"],
        ["rl/seed-0", "random/seed-1", "warm/seed-1"],
        ["rl/seed-1"],
      ]);
      expect(starts.map((lines) => idsOf(lines, "run_started")[0])).toEqual([
        "random/seed-0",
        "rl/seed-0",
        "rl/seed-1",
      ]);
      for (const lines of starts.slice(1))
        expect(lines.find((line) => line.type === "run_started")).toMatchObject({ is_resumed: true });

      const [mine, expected] = [reportOf(starts[2]!), reportOf(whole)];
      expect(mine.findings).toEqual(expected.findings);
      expect(mine.problems).toEqual([]);
      for (const table of ["study-accuracy", "study-comparisons", "accuracy", "reflection-steps"])
        expect(readFileSync(`${mine.folder}/tables/${table}.csv`, "utf8"), table).toBe(
          readFileSync(`${expected.folder}/tables/${table}.csv`, "utf8"),
        );
    },
    300_000,
  );

  test("completions of an evaluation have the parts of the run's reward", () => {
    const path = place.path("whole", "rl", "seed-0", "evaluations", "step-000012-validation.arrow");
    const table = tableFromIPC(readFileSync(path));
    expect(table.numRows).toBe(12);
    for (const { correct, reward_breakdown } of table as unknown as Iterable<Record<string, object>>)
      expect({ ...reward_breakdown }).toEqual({ accuracy: Number(correct), language: expect.any(Number) as number });
  });

  test("a damaged file of a run is named and left out", async () => {
    const run = place.path("whole", "rl", "seed-0");
    appendFileSync(`${run}/metrics.jsonl`, '{"type":"step","st\n');
    truncateSync(`${run}/rollouts/step-000003.arrow`, 100);
    const { code, stdout } = await sightloop(study(place.path("whole"), "--report-only"));
    expect(code).toBe(0);
    const { problems, findings } = reportOf(linesOf(stdout));
    expect(problems.map((problem) => problem.split(": ")[0])).toEqual([
      expect.stringMatching(/^rl\/seed-0\/metrics\.jsonl:\d+$/),
      "rl/seed-0/rollouts/step-000003.arrow",
    ]);
    expect(findings.length).toBeGreaterThan(0);
  });
});

describe("sample, of what a study's fine-tuning has learned", () => {
  const sample = (output: string, ...more: string[]) =>
    sightloop([
      ...["sample", "--model", place.path("whole/warm/seed-0/checkpoints/step-000040/model"), "--threads", "1"],
      ...["--dataset", `{name: jsonl, path: ${place.path("rows.jsonl")}}`, "--max-completion-tokens", "6"],
      ...["--output", place.path(output), ...more],
    ]);

  test("rows hold right answers; the same seed gives the same bytes", async () => {
    const { code, stdout, stderr } = await sample("drawn", "--keep", "2", "--seed", "3", "--json");
    expect([code, withoutProgress(stderr)]).toEqual([0, ""]);
    const lines = readFileSync(place.path("drawn", "data.jsonl"), "utf8").trim().split("\n");
    const drawn = lines.map((line) => JSON.parse(line) as (typeof rows)[number]);
    expect(linesOf(stdout).at(-1)).toMatchObject({ type: "sampled", num_rows: drawn.length, num_prompts: 3 });
    for (const { question, answer, solution } of drawn) {
      expect(rows.find((row) => row.question === question)!.answer).toBe(answer);
      expect(solution).toContain(answer);
    }
    expect((await sample("again", "--keep", "2", "--seed", "3")).code).toBe(0);
    expect(hashes(place.path("again"))).toEqual(hashes(place.path("drawn")));
  });

  test("bad input is refused, by what is wrong with it", async () => {
    const refused = async ([option, value]: readonly [string, string], message: RegExp): Promise<void> => {
      const good = {
        "--model": place.model,
        "--dataset": "{name: fashion_grid, count: 2}",
        "--output": place.path("x"),
      };
      const { code, stdout, stderr } = await sightloop([
        "sample",
        ...Object.entries({ ...good, [option]: value }).flat(),
      ]);
      expect([code, stdout, stderr]).toEqual([2, "", expect.stringMatching(message)]);
    };
    await Promise.all([
      refused(["--output", place.folder], /is not empty|exists|is there/),
      refused(["--temperature", "warm"], /temperature/),
      refused(["--completions-per-prompt", "0"], /completions-per-prompt/),
      refused(["--dataset", "{name: nothing}"], /dataset/),
      refused(["--model", "/nowhere"], /\/nowhere/),
    ]);
    expect(existsSync(place.path("x"))).toBe(false);
  });
});
