import { appendFile, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { truncateMetrics } from "../../../../src/reports/metrics-file.js";
import { parseMetricsLine } from "../../../../src/reports/read/metrics-lines.js";
import { metricsTail } from "../../../../src/reports/read/metrics-tail.js";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sightloop-tail-"));
  path = join(folder, "metrics.jsonl");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const line = (step: number): string => `${JSON.stringify({ type: "step", step, reward_mean: step / 10 })}\n`;

describe("a file that grows", () => {
  test("is not there yet, then comes, then grows by halves of lines", async () => {
    const tail = metricsTail(path);
    expect(await tail.poll()).toBe(false);
    await writeFile(path, line(1) + line(2).slice(0, 12));
    expect(await tail.poll()).toBe(true);
    expect(tail.steps).toEqual([{ step: 1, metrics: { reward_mean: 0.1 } }]);
    await appendFile(path, line(2).slice(12) + line(3));
    expect(await tail.poll()).toBe(true);
    expect(tail.steps.map(({ step }) => step)).toEqual([1, 2, 3]);
    expect(await tail.poll()).toBe(false);
    expect([tail.generation, tail.problems]).toEqual([0, []]);
  });

  test("a character in two parts", async () => {
    const bytes = Buffer.from(`${JSON.stringify({ type: "evaluated", step: 0, split: "tést", results: [] })}\n`);
    const tail = metricsTail(path);
    await writeFile(path, bytes.subarray(0, bytes.indexOf(0xc3) + 1));
    await tail.poll();
    await appendFile(path, bytes.subarray(bytes.indexOf(0xc3) + 1));
    expect(await tail.poll()).toBe(true);
    expect(tail.problems).toEqual([]);
  });

  test.each([
    ["a resumed run truncates it", (file: string) => truncateMetrics(file, 1, false)],
    ["cut in place", (file: string) => writeFile(file, line(1))],
    [
      "replaced by a longer one",
      async (file: string) => {
        await writeFile(`${file}.new`, line(1) + " ".repeat(500) + "\n");
        await rename(`${file}.new`, file);
      },
    ],
  ])("%s: a new generation", async (_, change) => {
    await writeFile(path, line(1) + line(2) + line(3));
    const tail = metricsTail(path);
    await tail.poll();
    await change(path);
    expect(await tail.poll()).toBe(true);
    expect(tail.generation).toBe(1);
    expect(tail.steps.map(({ step }) => step)).toEqual([1]);
    await appendFile(path, line(2));
    await tail.poll();
    expect(tail.steps.map(({ step }) => step)).toEqual([1, 2]);
  });

  test("deleted", async () => {
    await writeFile(path, line(1));
    const tail = metricsTail(path);
    await tail.poll();
    await rm(path);
    expect(await tail.poll()).toBe(true);
    expect([tail.steps, tail.generation]).toEqual([[], 1]);
    expect(await tail.poll()).toBe(false);
  });
});

describe("what cannot be read", () => {
  test("lines are left out, named, and do not hide the others", async () => {
    await writeFile(path, `${line(1)}{"type":"step","st\n\u0000\u0000\n${line(2)}[1]\n{"step":3}\n${line(4)}`);
    const tail = metricsTail(path);
    await tail.poll();
    expect(tail.steps.map(({ step }) => step)).toEqual([1, 2, 4]);
    expect(tail.problems.map((problem) => problem.line)).toEqual([2, 3, 5, 6]);
    expect(tail.problems[0]!.message).toBe("left out: not valid JSON");
  });

  test("thousands of bad lines are 21 problems", async () => {
    await writeFile(path, "x\n".repeat(5000) + line(1));
    const tail = metricsTail(path);
    await tail.poll();
    expect([tail.problems.length, tail.steps.length]).toEqual([21, 1]);
  });

  test("a folder of that name is one problem, said once", async () => {
    await mkdir(path);
    const tail = metricsTail(path);
    expect(await tail.poll()).toBe(true);
    expect(await tail.poll()).toBe(false);
    expect(tail.problems).toHaveLength(1);
  });
});

describe("parseMetricsLine", () => {
  test("keeps unknown numbers, inner ones by dotted names, and drops what is no number", () => {
    const text =
      '{"type":"step","step":2,"new_metric":1,"text":"a","list":[1],"inner":{"x":2},"nothing":null,"big":1e999}';
    expect(parseMetricsLine(text)).toEqual({
      type: "step",
      point: { step: 2, metrics: { new_metric: 1, "inner.x": 2 } },
    });
  });

  test("an evaluation", () => {
    const result = { setting: "greedy", accuracy: 0.5, interval: [0.4, 0.6], num_items: 10, pass_at: { 1: 0.5 } };
    const parsed = parseMetricsLine(JSON.stringify({ type: "evaluated", step: 0, split: "test", results: [result] }));
    const { pass_at: _, ...rest } = result;
    expect(parsed).toEqual({
      type: "evaluated",
      points: [{ step: 0, split: "test", ...rest, correct: null, values: { "pass_at.1": 0.5 } }],
    });
  });

  test.each([
    ["null"],
    ["3"],
    ['{"step":-1,"type":"step"}'],
    ['{"step":1.5,"type":"step"}'],
    ['{"step":1}'],
    ['{"step":1,"type":"evaluated"}'],
    ['{"step":1,"type":"evaluated","split":"a","results":[1]}'],
  ])("%s is refused", (text) => {
    expect(() => parseMetricsLine(text)).toThrow(Error);
  });
});
