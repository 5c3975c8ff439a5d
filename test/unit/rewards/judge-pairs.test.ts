import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { isSameAnswer, judge } from "../../../src/rewards/grading/judge.js";

interface Pair {
  readonly id: string;
  readonly category: string;
  readonly truth: string;
  readonly completion: string;
  readonly correct: boolean;
}

const read = <Row>(name: string): Row[] =>
  readFileSync(new URL(`../../fixtures/judge/${name}.jsonl`, import.meta.url), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);

async function score(pairs: readonly Pair[]): Promise<{ right: number; false_positives: string[]; missed: string[] }> {
  const false_positives: string[] = [];
  const missed: string[] = [];
  for (const { id, truth, completion, correct } of pairs) {
    const verdict = await judge(completion, truth);
    if (verdict.correct && !correct) false_positives.push(id);
    if (!verdict.correct && correct) missed.push(id);
  }
  return { right: pairs.length - false_positives.length - missed.length, false_positives, missed };
}

describe("hand-labelled pairs", () => {
  test("the 200 that the judge was tuned on", async () => {
    const pairs = read<Pair>("tuning");
    expect(pairs).toHaveLength(200);
    expect(await score(pairs)).toEqual({ right: 200, false_positives: [], missed: [] });
  });

  /** Scored once before anything was changed for them: 148 right, one false positive (docs/judge.md). */
  test("the 150 frozen ones: at least 90 %, no false positive", async () => {
    const pairs = read<Pair>("frozen");
    expect(pairs).toHaveLength(150);
    const { right, false_positives } = await score(pairs);
    expect(false_positives).toEqual([]);
    expect(right).toBeGreaterThanOrEqual(135);
  });

  test.each(["tuning", "frozen"])("%s: each category holds right and wrong answers, and no id twice", (name) => {
    const pairs = read<Pair>(name);
    expect(new Set(pairs.map(({ id }) => id)).size).toBe(pairs.length);
    for (const category of new Set(pairs.map((pair) => pair.category))) {
      const labels = pairs.filter((pair) => pair.category === category).map(({ correct }) => correct);
      expect(labels.length).toBeGreaterThanOrEqual(14);
      expect(new Set(labels)).toEqual(new Set([true, false]));
    }
  });
});

test("beside MAYE's judge: 21 of its 29 verified verdicts, and these differ", async () => {
  const cases = read<{ truth: string; given: string; maye: boolean }>("maye");
  expect(cases).toHaveLength(29);
  const differ: [string, string, boolean][] = [];
  for (const { truth, given, maye } of cases)
    if ((await isSameAnswer(given, truth)) !== maye) differ.push([truth, given, maye]);
  expect(differ).toEqual([
    ["75", "0.75", true],
    ["50", "0.5", true],
    ["12", "12.005", true],
    ["1000", "1,000", false],
    ["1;2", "1,2", false],
    ["12", "\u9762\u79ef\u662f12", true],
    ["0", "1", true],
    ["1_000", "1000", true],
  ]);
});
