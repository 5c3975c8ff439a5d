import { describe, expect, test } from "vitest";
import { answerClasses, isMajorityRight } from "../../../src/evaluate/majority.js";

const wrong = (final_answer: string | null) => ({ correct: false, final_answer });
const right = (final_answer: string | null) => ({ correct: true, final_answer });
const isSame = async (a: string, b: string) => Number(a) === Number(b);

describe("answer classes", () => {
  test("right answers are one class, equivalent wrong ones another, no answer has none", async () => {
    const samples = [wrong("0.5"), right("1/4"), wrong(".50"), wrong(null), right("0.25"), wrong("3")];
    expect(await answerClasses(samples, isSame)).toEqual([1, 0, 1, -1, 0, 2]);
  });
});

test.each([
  ["most votes", [1, 0, 0], 3, true],
  ["most votes are wrong", [1, 0, 1], 3, false],
  ["a tie: the answer given first, wrong", [1, 0], 2, false],
  ["a tie: the answer given first, right", [0, 1], 2, true],
  ["a tie of those given later", [1, 0, 0, 2, 2], 5, true],
  ["only the first k count", [0, 1, 1], 1, true],
  ["no answer does not vote", [-1, -1, 0], 3, true],
  ["no votes", [-1, -1], 2, false],
] as const)("majority, %s", (_, classes, k, expected) => {
  expect(isMajorityRight(classes, k)).toBe(expected);
});
