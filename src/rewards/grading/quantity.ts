import { add, divide, multiply, negate, parseDecimal, type Rational } from "./rational.js";
import { adjacent_unit, parseUnit, type Unit } from "./units.js";

/** A number with what follows it: "-1 1/2", "\frac{3}{4}", "1,000 cm^2", "12.5 %". */
export interface Quantity {
  readonly value: Rational;
  readonly percent: boolean;
  readonly unit: Unit | undefined;
}

/** Parses text that went through `plainText`; undefined unless all of it is one quantity. */
export function parseQuantity(text: string): Quantity | undefined {
  const unwrapped = /^\(([^(),]*)\)$/.exec(text)?.[1] ?? text;
  const match = /^([+-]?) ?([\u20ac\u00a3\u00a5\uff04]?) ?([+-]?) ?(?=[\d.\\])(.*)$/s.exec(unwrapped.trim());
  if (match === null) return undefined;
  const [, before = "", currency = "", after = "", rest = ""] = match;
  if (before !== "" && after !== "") return undefined;
  const number = repeating(rest) ?? fraction(rest) ?? slashed(rest) ?? decimal(rest);
  if (number === undefined) return undefined;
  const suffix = parseSuffix(number.suffix);
  if (suffix === undefined || (currency !== "" && suffix.unit !== undefined)) return undefined;
  const size = suffix.times === undefined ? number.value : multiply(number.value, suffix.times);
  const value = before === "-" || after === "-" ? negate(size) : size;
  return { value, percent: suffix.percent, unit: currency === "" ? suffix.unit : parseUnit(currency) };
}

interface NumberAndSuffix {
  readonly value: Rational;
  readonly suffix: string;
}

/** "0.\overline{3}", "0.1\dot{6}" */
function repeating(text: string): NumberAndSuffix | undefined {
  const match = /^(\d{0,20})\.(\d{0,20})\\(?:overline|dot|bar) ?(?:\{(\d{1,20})\}|(\d))(.*)$/s.exec(text);
  if (match === null) return undefined;
  const [, whole = "", fixed = "", block, digit = "", suffix = ""] = match;
  const period = block ?? digit;
  const denominator = 10n ** BigInt(fixed.length) * (10n ** BigInt(period.length) - 1n);
  const numerator = BigInt(whole + fixed + period) - BigInt(whole + fixed || "0");
  return { value: { numerator, denominator }, suffix };
}

/** "\frac{1}{2}", "\frac12", "1\frac{1}{2}" */
function fraction(text: string): NumberAndSuffix | undefined {
  const match = /^([\d,]*) ?\\frac ?(?:\{([^{}]*)\}|(\d)) ?(?:\{([^{}]*)\}|(\d))(.*)$/s.exec(text);
  if (match === null) return undefined;
  const [, whole = "", a, a_digit, b, b_digit, suffix = ""] = match;
  return mixed(whole, a ?? a_digit ?? "", b ?? b_digit ?? "", suffix);
}

/** "1/2", "1 1/2" */
function slashed(text: string): NumberAndSuffix | undefined {
  const match = /^(?:([\d,]+) )?([\d.,]+) ?\/ ?(-?[\d.,]+)(.*)$/s.exec(text);
  if (match === null) return undefined;
  const [, whole = "", a = "", b = "", suffix = ""] = match;
  if (/^ ?[a-z\\(]/i.test(suffix) && !adjacent_unit.test(suffix) && !suffix.startsWith(" ")) return undefined; // 1/2x
  return mixed(whole, a, b, suffix);
}

function mixed(whole: string, a: string, b: string, suffix: string): NumberAndSuffix | undefined {
  const numerator = signedDecimal(a);
  const denominator = signedDecimal(b);
  const before = whole === "" ? parseDecimal("0") : parseDecimal(whole);
  if (numerator === undefined || denominator === undefined || before === undefined) return undefined;
  const part = divide(numerator, denominator);
  return part && { value: add(before, part), suffix };
}

function signedDecimal(text: string): Rational | undefined {
  const trimmed = text.trim();
  if (!trimmed.startsWith("-")) return parseDecimal(trimmed);
  const value = parseDecimal(trimmed.slice(1).trim());
  return value && negate(value);
}

function decimal(text: string): NumberAndSuffix | undefined {
  const match = /^([\d.,]+(?:e[+-]?\d+(?![a-z]))?)(.*)$/is.exec(text);
  const value = parseDecimal(match?.[1] ?? "");
  return value && { value, suffix: match?.[2] ?? "" };
}

const multiples: Readonly<Record<string, bigint>> = {
  hundred: 100n,
  thousand: 1000n,
  million: 1_000_000n,
  billion: 1_000_000_000n,
  trillion: 1_000_000_000_000n,
};

interface Suffix {
  readonly percent: boolean;
  readonly unit: Unit | undefined;
  readonly times?: Rational;
}

function parseSuffix(suffix: string): Suffix | undefined {
  const text = suffix.trim();
  if (text === "") return { percent: false, unit: undefined };
  if (/^(%|percent|per cent|pct)$/i.test(text)) return { percent: true, unit: undefined };
  const [, name = "", rest = ""] = /^ ([a-z]+)( .*)?$/is.exec(suffix) ?? [];
  const times = multiples[name.toLowerCase()];
  if (times !== undefined) {
    const inner = parseSuffix(rest);
    return inner && { ...inner, times: { numerator: times, denominator: 1n } };
  }
  if (!suffix.startsWith(" ") && !adjacent_unit.test(text)) return undefined;
  const unit = parseUnit(text);
  return unit && { percent: false, unit };
}
