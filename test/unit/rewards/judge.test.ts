import { describe, expect, test } from "vitest";
import { isSameAnswer, judge } from "../../../src/rewards/grading/judge.js";

describe("the final answer is found by the first rule that applies", () => {
  test.each([
    ["boxed", "It is \\boxed{12}, not 13.", "12", true],
    ["the last of two boxes", "\\boxed{1} or \\boxed{2}", "2", true],
    ["the last of two boxes, not the first", "\\boxed{1} or \\boxed{2}", "1", false],
    ["a box with braces", "so \\boxed{\\frac{1}{2}}", "1/2", true],
    ["a box with escaped braces", "\\boxed{\\{1,2\\}}", "\\{1,2\\}", true],
    ["a box in a box", "\\boxed{\\boxed{3}}", "3", true],
    ["a box with a space", "\\boxed {3}", "3", true],
    ["a box before a phrase", "the answer is 4 \\boxed{5}", "5", true],
    ["a box that is cut off is no answer", "thus \\boxed{12", "12", false],
    ["an empty box is no answer", "12 \\boxed{}", "12", false],
    ["phrase", "The answer is 12.", "12", true],
    ["phrase with more sentences", "The answer is 3.5. There are 4 tops.", "3.5", true],
    ["phrase: a number in it", "The answer is 12, since 5 + 7 = 12", "12", true],
    ["phrase: after the last equals sign", "Answer: 3 + 4 = 7 apples", "7", true],
    ["phrase with colon and Markdown", "**Answer:** `14`", "14", true],
    ["phrase on its own line", "Final answer:\n14\nThanks for 1 question", "14", true],
    ["the last of two phrases", "the answer is 3. No, the answer is 4.", "4", true],
    ["phrase with a choice", "The answer is (B).", "B", true],
    ["a phrase that never comes to an answer", "14. The answer is", "14", true],
    ["after the thought", "<think> top 3 3</think> 14", "14", true],
    ["after the thought, direct", "</think> 14", "14", true],
    ["after the thought, in prose", "<think>1 2</think> So it costs 14 in total", "14", true],
    ["not inside the thought", "<think>\\boxed{14}</think> 13", "14", false],
    ["nothing after the thought", "<think> 3 14</think>", "14", false],
    ["a thought that does not end", "<think> top 3 3 bag 11 14", "14", false],
    ["a second thought that does not end", "<think>1</think> <think> 14", "14", false],
    ["a box in a thought that does not end", "<think> \\boxed{14}", "14", true],
    ["the whole text", "trouser", "Trouser", true],
    ["the last number", "3 + 11 makes 14 in all", "14", true],
    ["the last number, not the first", "3 + 11 makes 14 in all", "3", false],
    ["the last number: a minus between terms is no sign", "it is 20-6", "6", true],
    ["the last number: a sign", "x is -6", "-6", true],
    ["the last number: thousands", "it costs 1,250 in all", "1250", true],
    ["the last number: a fraction", "it is 3/4 of it", "0.75", true],
    ["the last number: a list is not thousands", "one of 1,2345", "2345", true],
    ["the last number: next to letters", "\u517114\u4e2a", "14", true],
    ["words do not count as numbers", "fourteen", "14", false],
    ["empty", "", "14", false],
    ["blank", " \n ", "14", false],
  ])("%s", (_, completion, answer, expected) => {
    expect(judge(completion, answer).correct).toBe(expected);
  });

  test.each([
    ["\\boxed{12}", "boxed", "12"],
    ["the answer is 12 tops", "answer_is", "12 tops"],
    ["<think>a</think> 12", "after_think", "12"],
    ["12", "whole_text", "12"],
    ["about 12 of them", "last_number", "12"],
    ["<think> 12", undefined, undefined],
  ])("%s: rule %s", (completion, rule, final_answer) => {
    expect(judge(completion, "12")).toEqual({ correct: rule !== undefined, rule, final_answer });
  });
});

describe("two answers are the same", () => {
  test.each([
    ["12", "12"],
    ["12.", "12"],
    [" 12 ", "12"],
    ["\uff11\uff12", "12"],
    ["12.0", "12"],
    ["0012", "12"],
    ["+12", "12"],
    ["-0", "0"],
    ["\u22123", "-3"],
    ["- 3", "-3"],
    ["(-3)", "-3"],
    ["1,000", "1000"],
    ["1{,}000", "1000"],
    ["1,234,567.5", "1234567.5"],
    [".5", "0.5"],
    ["5.", "5"],
    ["1e3", "1000"],
    ["1.5e-3", "0.0015"],
    ["0.5", "1/2"],
    ["\\frac{1}{2}", "0.5"],
    ["\\dfrac12", "1/2"],
    ["-\\frac{6}{4}", "-1.5"],
    ["\\frac{-3}{2}", "-3/2"],
    ["2/4", "1/2"],
    ["1 1/2", "1.5"],
    ["1\\frac{1}{2}", "3/2"],
    ["1/3", "2/6"],
    ["$12$", "12"],
    ["\\(12\\)", "12"],
    ["\\$12", "12"],
    ["\u20ac12", "12"],
    ["{12}", "12"],
    ["\\text{12}", "12"],
    ["**12**", "12"],
    ["12 cm", "12"],
    ["12cm", "12"],
    ["12 \\text{cm}^2", "12 cm\u00b2"],
    ["12", "12 \\text{ cm}^2"],
    ["12 dollars", "12"],
    ["12 dollars", "12 dollar"],
    ["12 square meters", "12"],
    ["60^\\circ", "60"],
    ["60^{\\circ}", "60 degrees"],
    ["50%", "50"],
    ["50\\%", "50 %"],
    ["50%", "0.5"],
    ["1/2", "50%"],
    ["50 percent", "50%"],
    ["x = 3", "3"],
    ["3", "x=3"],
    ["x=3", "x = 3"],
    ["trouser", "Trouser."],
    ["\\text{top}", "top"],
    ["(B)", "b"],
    ["B.", "B"],
    ["(1, 2)", "(1,2)"],
    ["1, 2, 3", "1,2,3"],
    ["25 \\pi", "25\\pi"],
    ["\\left( 1, 2 \\right)", "(1,2)"],
    ["three  words here", "Three words\nhere"],
  ])("%j = %j", (given, truth) => {
    expect(isSameAnswer(given, truth)).toBe(true);
    expect(isSameAnswer(truth, given)).toBe(true);
  });

  test.each([
    ["12", "13"],
    ["12", "-12"],
    ["12.0001", "12"],
    ["0.333", "1/3"],
    ["0.3333333333333333", "1/3"],
    ["9007199254740993", "9007199254740992"],
    ["0.1", "0.10000000000000001"],
    ["1 2", "12"],
    ["1.000,5", "1000.5"],
    ["1,2", "12"],
    ["12,34", "1234"],
    ["1/0", "0"],
    ["5 million", "5"],
    ["3x", "3"],
    ["3 pi", "3"],
    ["25\\pi", "25"],
    ["3 or 4", "3"],
    ["3!", "6"],
    ["12 cm", "12 m"],
    ["12 cm", "12 cm^2"],
    ["50%", "5"],
    ["50%", "0.05"],
    ["(1,2)", "[1,2]"],
    ["x=3", "y=4"],
    ["top", "tops"],
    ["", "12"],
    ["nan", "1"],
    ["inf", "1"],
    ["))", "(("],
    ["\\frac{1}{", "1"],
    ["1e999999999", "12"],
  ])("%j is not %j", (given, truth) => {
    expect(isSameAnswer(given, truth)).toBe(false);
    expect(isSameAnswer(truth, given)).toBe(false);
  });

  test.each(["", " ", ".", "$$", "{}"])("an empty truth %j is never right", (truth) => {
    expect(isSameAnswer(truth, truth)).toBe(false);
    expect(isSameAnswer("12", truth)).toBe(false);
  });

  test.each([
    ["12.004", "12", 0.005, true],
    ["12.005", "12", 0.005, true],
    ["12.0051", "12", 0.005, false],
    ["3.14", "3.14159", 0.01, true],
    ["1/3", "0.333", 0.001, true],
    ["12", "12", 0, true],
    ["-12", "12", 1e-9, false],
  ])("%s is %s within %f: %s", (given, truth, tolerance, expected) => {
    expect(isSameAnswer(given, truth, { tolerance })).toBe(expected);
  });
});

describe("any text is judged, and quickly", () => {
  /** A linear congruential generator: the same texts on every run. */
  const random = (() => {
    let state = 12345;
    return (n: number): number => {
      state = (state * 48271) % 2147483647;
      return state % n;
    };
  })();
  const pieces = [
    "\\boxed{",
    "}",
    "{",
    "\\frac{",
    "1",
    "23",
    ",",
    ".",
    "/",
    "-",
    " ",
    "\n",
    "%",
    "$",
    "answer is ",
    "answer: ",
    "=",
    "<think>",
    "</think>",
    "\\",
    "x",
    "cm",
    "\u4e2d",
    "\ud83d",
    "e9",
    "(",
    ")",
    "\u0000",
  ];
  const text = (length: number): string => Array.from({ length }, () => pieces[random(pieces.length)]!).join("");

  test("1,000 random texts; median below 20 ms", () => {
    const times = Array.from({ length: 1000 }, () => {
      const [completion, answer] = [text(random(400)), text(random(12))];
      const start = performance.now();
      expect(typeof judge(completion, answer).correct).toBe("boolean");
      return performance.now() - start;
    });
    expect(times.sort((a, b) => a - b)[500]).toBeLessThan(20);
  });

  const long = 100_000;
  test.each([
    ["open boxes", "\\boxed{".repeat(long / 7)],
    ["nested boxes", `${"\\boxed{".repeat(long / 7)}1${"}".repeat(long / 7)}`],
    ["open braces", `\\boxed${"{".repeat(long)}`],
    ["backslashes", `\\boxed${"\\".repeat(long)}`],
    ["digits", "1".repeat(long)],
    ["thousands", `${"1,111".repeat(long / 5)}`],
    ["one long thousand", `1${",111".repeat(long / 4)}1`],
    ["dots", ".".repeat(long)],
    ["signs", "-".repeat(long)],
    ["spaces", `answer${" ".repeat(long)}`],
    ["phrases", "answer is ".repeat(long / 10)],
    ["phrases with spaces", `answer${" ".repeat(50)}`.repeat(long / 56)],
    ["fractions", "\\frac{1}{".repeat(long / 9)],
    ["slashes", "1 / ".repeat(long / 4)],
    ["open thoughts", "<think>".repeat(long / 7)],
    ["closed thoughts", "</think>".repeat(long / 8)],
    ["a box of texts", `\\boxed{${"\\text{".repeat(100)}}`],
    ["a box of dots", `\\boxed{${".".repeat(900)}x}`],
    ["a box of digits", `\\boxed{${"9".repeat(900)}}`],
    ["a large exponent", "\\boxed{1e999999}"],
    ["a unit of letters", `\\boxed{1 ${"a ".repeat(450)}}`],
  ])("%s", (_, completion) => {
    for (const answer of ["12", completion.slice(0, 50)]) {
      const start = performance.now();
      judge(completion, answer);
      expect(performance.now() - start).toBeLessThan(500);
    }
    judge("12", completion); // a long truth is slow at worst, never an error
  });
});
