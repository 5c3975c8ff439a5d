import { describe, expect, test } from "vitest";
import { judge } from "../../../src/rewards/grading/judge.js";

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
  /** A well-formed expression. */
  function expression(depth: number): string {
    const inner = (): string => expression(depth - 1);
    const forms = [
      () => String(random(99)),
      () => "xyzab"[random(5)]!,
      () => "\\pi ",
      () => `${random(9)}.${random(99)}`,
      () => `(${inner()})`,
      () => `\\frac{${inner()}}{${inner()}}`,
      () => `\\sqrt{${inner()}}`,
      () => `${inner()}+${inner()}`,
      () => `${inner()}-${inner()}`,
      () => `${inner()}${inner()}`,
      () => `${inner()}^{${inner()}}`,
      () => `\\sin(${inner()})`,
      () => `\\log_{${inner()}}{${inner()}}`,
      () => `|${inner()}|`,
      () => `${inner()}/${inner()}!`,
    ];
    return forms[random(depth <= 0 ? 4 : forms.length)]!().slice(0, 400);
  }
  const damaged = (latex: string): string => {
    const characters = [...latex];
    for (let fault = 0; fault < 3; fault++)
      characters.splice(random(characters.length + 1), random(2), pieces[random(pieces.length)]!);
    return characters.join("");
  };
  const text = (length: number): string => Array.from({ length }, () => pieces[random(pieces.length)]!).join("");

  test.each([
    ["1,000 random texts", () => [text(random(400)), text(random(12))]],
    ["1,000 random expressions", () => [`\\boxed{${expression(5)}}`, expression(4)]],
    ["1,000 expressions with three faults", () => [`\\boxed{${damaged(expression(5))}}`, expression(3)]],
  ])("%s", async (_, pair) => {
    const slow: string[] = [];
    for (let i = 0; i < 1000; i++) {
      const [completion = "", answer = ""] = pair();
      const start = performance.now();
      expect(typeof (await judge(completion, answer)).correct).toBe("boolean");
      if (performance.now() - start > 2000) slow.push(completion);
    }
    expect(slow).toEqual([]);
  });

  // Each of these, or what it was found from, took the parser minutes.
  test.each([
    ["signs", "-".repeat(150) + "1"],
    ["open parentheses", "(".repeat(40) + "x"],
    ["open brackets", "[".repeat(40) + "x"],
    ["closed ones without content", "(".repeat(12) + "x+" + ")".repeat(12)],
    ["factorials", "x+5" + "!".repeat(150)],
    ["signs in groups", "-(".repeat(12) + "x+1" + ")".repeat(12)],
    ["bars", "|x+".repeat(40)],
    ["dots", "x+1.1".repeat(30)],
    ["empty groups", "x+1" + "()".repeat(60)],
    ["a tower", "9^{9^{9^{9}}}+x"],
    ["a long power", "2^{1000000}+x"],
    ["a long factorial", "100000!+x"],
    ["a long exponent", "1e999999999+x"],
    ["a list of expressions", Array(50).fill("x+1").join(", ")],
  ])("an answer of %s", async (_, answer) => {
    for (const truth of ["x+3", Array(50).fill("1+x").join(", ")]) {
      const start = performance.now();
      await judge(`\\boxed{${answer}}`, truth);
      expect(performance.now() - start).toBeLessThan(5000);
    }
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
    ["dollars", "a b " + "$x".repeat(long / 2)],
    ["open math", "a b \\(".repeat(long / 6)],
    ["words", "ab ".repeat(long / 3)],
    ["numbers", "so it is " + "1 ".repeat(long / 2)],
    ["options", "a b option A ".repeat(long / 13)],
    ["tags", "<answer>".repeat(long / 8)],
    ["boxes", "\\boxed{1},".repeat(long / 10)],
    ["ideographs", "\u4e2d1".repeat(long / 2)],
    ["equals signs", "so it is " + "=".repeat(long)],
    ["a box of texts", `\\boxed{${"\\text{".repeat(100)}}`],
    ["a box of dots", `\\boxed{${".".repeat(900)}x}`],
    ["a box of digits", `\\boxed{${"9".repeat(900)}}`],
    ["a large exponent", "\\boxed{1e999999}"],
    ["a unit of letters", `\\boxed{1 ${"a ".repeat(450)}}`],
  ])("%s", async (_, completion) => {
    for (const answer of ["12", completion.slice(0, 50)]) {
      const start = performance.now();
      await judge(completion, answer);
      expect(performance.now() - start).toBeLessThan(2000);
    }
    await judge("12", completion); // a long truth is slow at worst, never an error
  });
});
