import { add, divide, negate, parseDecimal, type Rational } from "./rational.js";

/** A number with what follows it: "-1 1/2", "\frac{3}{4}", "1,000 cm^2", "12.5 %". */
export interface Quantity {
  readonly value: Rational;
  readonly percent: boolean;
  /** In one spelling; "" if there is none. */
  readonly unit: string;
}

/** Units that may follow a number without a space; other letters there are algebra: "3x". */
const adjacent_units = new Set(
  "mm cm dm m km in ft yd mi mg g kg t ml l s ms min h hr sec deg ° °c °f usd eur".split(" "),
);
/** Words that change the number, or make it part of a formula or a sentence. */
const never_units = new Set(
  (
    "pi e i x y z n a b c k sqrt sin cos tan log ln times plus minus over and or to by of mod dozen hundred thousand " +
    "million billion trillion half halves third thirds quarter quarters fifths tenths"
  ).split(" "),
);
const longest_unit = 40;

/** Parses text that went through `plainText`; undefined unless all of it is one quantity. */
export function parseQuantity(text: string): Quantity | undefined {
  const unwrapped = /^\(([^(),]*)\)$/.exec(text)?.[1] ?? text;
  const match = /^([+-]?) ?[€£¥]? ?(?=[\d.\\])(.*)$/.exec(unwrapped.trim());
  if (match === null) return undefined;
  const [, sign = "", rest = ""] = match;
  const number = fraction(rest) ?? slashed(rest) ?? decimal(rest);
  if (number === undefined) return undefined;
  const suffix = parseSuffix(number.suffix);
  if (suffix === undefined) return undefined;
  return { value: sign === "-" ? negate(number.value) : number.value, ...suffix };
}

interface NumberAndSuffix {
  readonly value: Rational;
  readonly suffix: string;
}

/** "\frac{1}{2}", "\frac12", "1\frac{1}{2}" */
function fraction(text: string): NumberAndSuffix | undefined {
  const match = /^([\d,]*) ?\\frac ?(?:\{([^{}]*)\}|(\d)) ?(?:\{([^{}]*)\}|(\d))(.*)$/.exec(text);
  if (match === null) return undefined;
  const [, whole = "", a, a_digit, b, b_digit, suffix = ""] = match;
  return mixed(whole, a ?? a_digit ?? "", b ?? b_digit ?? "", suffix);
}

/** "1/2", "1 1/2" */
function slashed(text: string): NumberAndSuffix | undefined {
  const match = /^(?:([\d,]+) )?([\d.,]+) ?\/ ?(-?[\d.,]+)(.*)$/.exec(text);
  if (match === null) return undefined;
  const [, whole = "", a = "", b = "", suffix = ""] = match;
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
  const match = /^([\d.,]+(?:e[+-]?\d+(?![a-z]))?)(.*)$/i.exec(text);
  const value = parseDecimal(match?.[1] ?? "");
  return value && { value, suffix: match?.[2] ?? "" };
}

function parseSuffix(suffix: string): Pick<Quantity, "percent" | "unit"> | undefined {
  const text = suffix.trim().toLowerCase();
  if (text === "") return { percent: false, unit: "" };
  if (/^(%|percent)$/.test(text)) return { percent: true, unit: "" };
  if (text.length > longest_unit || !/^[\p{L}°][\p{L}°\d²³ ^{}/.-]*$/u.test(text)) return undefined;
  const words = text.split(/[^\p{L}°]+/u).filter((word) => word !== "");
  if (words.some((word) => never_units.has(word))) return undefined;
  if (!suffix.startsWith(" ") && !adjacent_units.has(words[0] ?? "")) return undefined;
  return { percent: false, unit: spelling(text) };
}

function spelling(unit: string): string {
  const plain = unit
    .replaceAll("²", "2")
    .replaceAll("³", "3")
    .replace(/[ ^{}.]/g, "")
    .replace(/(?<=\p{L}{2})s$/u, "");
  return /^(deg|degree)$/.test(plain) ? "°" : plain;
}
