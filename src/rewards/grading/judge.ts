import { finalAnswers, type FinalAnswerRule } from "./final-answer.js";
import { comparable, plainText } from "./plain-text.js";
import { parseQuantity, type Quantity } from "./quantity.js";
import { divide, equals, parseDecimal, type Rational, within } from "./rational.js";

export interface JudgeOptions {
  /** Largest absolute difference of two numbers that still counts as equal; absent: exact. */
  readonly tolerance?: number | undefined;
}

export interface Verdict {
  readonly correct: boolean;
  /** The reading that was right, or else the first one; undefined if the completion holds no final answer. */
  readonly rule: FinalAnswerRule | undefined;
  readonly final_answer: string | undefined;
}

/** Whether a completion's final answer is the truth. Never throws, whatever the text. */
export function judge(completion: string, answer: string, options: JudgeOptions = {}): Verdict {
  const readings = finalAnswers(completion);
  const right = readings.find(({ text }) => isSameAnswer(text, answer, options));
  const told = right ?? readings[0];
  return { correct: right !== undefined, rule: told?.rule, final_answer: told?.text };
}

/**
 * Equal as text (without regard to case, spaces and wrappers), or equal as numbers:
 *   - exactly, in rational arithmetic: 0.5 = 1/2 = \frac{1}{2}, but 0.333 is not 1/3; or within `tolerance`
 *   - a unit or "x =" on one side only does not count; two different units do
 *   - a percent sign on one side only: 50 % is 50 or 0.5
 */
export function isSameAnswer(given: string, truth: string, { tolerance }: JudgeOptions = {}): boolean {
  if (given.length > 1000 + 10 * truth.length) return false; // prose; also bounds the work
  const wanted = comparable(truth);
  if (wanted === "") return false;
  const [plain_given, plain_truth] = withoutLoneVariable(plainText(given), plainText(truth));
  if (comparable(given) === wanted || comparable(plain_given) === comparable(plain_truth)) return true;
  const a = parseQuantity(plain_given);
  const b = parseQuantity(plain_truth);
  return a !== undefined && b !== undefined && isSameQuantity(a, b, tolerance);
}

/** Drops "x =" where only one of the two has it. */
function withoutLoneVariable(a: string, b: string): readonly [string, string] {
  const strip = (text: string): string => text.replace(/^[a-z](?:_\{?\w{1,8}\}?)? ?= ?(?=[^=]*$)/i, "");
  if (a.includes("=") === b.includes("=")) return [a, b];
  return [strip(a), strip(b)];
}

function isSameQuantity(a: Quantity, b: Quantity, tolerance: number | undefined): boolean {
  if (a.unit !== "" && b.unit !== "" && a.unit !== b.unit) return false;
  const same = (x: Rational, y: Rational): boolean =>
    equals(x, y) || (tolerance !== undefined && within(x, y, parseDecimal(String(tolerance))!));
  if (same(a.value, b.value)) return true;
  if (a.percent === b.percent) return false;
  const hundredth = (x: Rational): Rational => divide(x, { numerator: 100n, denominator: 1n })!;
  return a.percent ? same(hundredth(a.value), b.value) : same(a.value, hundredth(b.value));
}
