import { divide, multiply, power, type Rational } from "./rational.js";

/** A unit as a product of base dimensions, and how many base units it is: "km/h" is { m: 1, s: -1 } x 5/18. */
export interface Unit {
  /** "" for none; in one spelling and order. */
  readonly dimension: string;
  readonly factor: Rational;
  /** False if a word of it is in no table: "apples". */
  readonly known: boolean;
}

const ratio = (numerator: number, denominator = 1): Rational => ({
  numerator: BigInt(numerator),
  denominator: BigInt(denominator),
});

/** names | base dimension | exponent | base units in one (numerator, denominator) */
const table: readonly (readonly [string, string, number, number, number?])[] = [
  ["mm millimeter millimetre \u6beb\u7c73", "m", 1, 1, 1000],
  ["cm centimeter centimetre \u5398\u7c73", "m", 1, 1, 100],
  ["dm decimeter decimetre \u5206\u7c73", "m", 1, 1, 10],
  ["m meter metre \u7c73", "m", 1, 1],
  ["km kilometer kilometre \u5343\u7c73", "m", 1, 1000],
  ["in inch inches", "m", 1, 254, 10000],
  ["ft foot feet", "m", 1, 3048, 10000],
  ["yd yard", "m", 1, 9144, 10000],
  ["mi mile", "m", 1, 1609344, 1000],
  ["ml milliliter millilitre", "m", 3, 1, 1000000],
  ["l liter litre \u5347", "m", 3, 1, 1000],
  ["mg milligram", "g", 1, 1, 1000],
  ["g gram \u514b", "g", 1, 1],
  ["kg kilogram \u5343\u514b", "g", 1, 1000],
  ["t ton tonne \u5428", "g", 1, 1000000],
  ["lb pound", "lb", 1, 1],
  ["ms millisecond", "s", 1, 1, 1000],
  ["s sec second \u79d2", "s", 1, 1],
  ["min minute \u5206\u949f", "s", 1, 60],
  ["h hr hour \u5c0f\u65f6", "s", 1, 3600],
  ["day \u5929", "s", 1, 86400],
  ["\u00b0 deg degree \u5ea6", "\u00b0", 1, 1],
  ["rad radian", "rad", 1, 1],
  ["\u00b0c", "\u00b0c", 1, 1],
  ["\u00b0f", "\u00b0f", 1, 1],
  ["usd dollar \uff04", "usd", 1, 1],
  ["cent", "usd", 1, 1, 100],
  ["eur euro \u20ac", "eur", 1, 1],
  ["gbp \u00a3", "gbp", 1, 1],
  ["yuan rmb \u5143 \u00a5", "yuan", 1, 1],
];
const bases = new Map(
  table.flatMap(([names, dimension, exponent, a, b]) =>
    names.split(" ").map((name) => [name, { dimension, exponent, factor: ratio(a, b) }] as const),
  ),
);
const short_units = "mm|cm|dm|m|km|in|ft|yd|mi|mg|g|kg|t|ml|l|s|ms|min|h|hr|sec|deg|\u00b0c|\u00b0f|\u00b0|usd|eur";
/** Those that may follow a number without a space; other letters there are algebra: "3x". */
export const adjacent_unit = new RegExp(`^(?:${short_units}|[\\u4e00-\\u9fff]+)(?![a-z])`, "i");

/** Words that change the number, or make it part of a formula or a sentence. */
const never_units = new Set(
  (
    "pi sqrt sin cos tan log times plus minus over and or to by of mod dozen hundred thousand million billion trillion " +
    "half halves third thirds quarter quarters fifths tenths squared cubed factorial root percent less more than not is " +
    "are was if when because since but about approximately the for with each per unknown else other"
  ).split(" "),
);
/** In lower case these are variables. */
const capital_units = new Set("N J W V K A Pa Hz".split(" "));
const longest_unit = 40;

/** "cm^2", "square centimeters", "km/h", "apples". Undefined if the text is no unit. */
export function parseUnit(text: string): Unit | undefined {
  if (text.length > longest_unit || !/^[\p{L}\u00b0\uff04\u20ac\u00a3\u00a5][\p{L}\u00b0\d ^{}/.*\\-]*$/u.test(text))
    return undefined;
  if (capital_units.has(text)) return { dimension: text, factor: ratio(1), known: true };
  const plain = text
    .toLowerCase()
    .replace(/\bsq(?:uare|\.)? (\p{L}+)/gu, "$1^2")
    .replace(/\bcubic (\p{L}+)/gu, "$1^3")
    .replace(/\u5e73\u65b9(\p{L}+)/gu, "$1^2")
    .replace(/\u7acb\u65b9(\p{L}+)/gu, "$1^3")
    .replace(/ squared\b/g, "^2")
    .replace(/ cubed\b/g, "^3")
    .replace(/ per /g, "/")
    .replace(/\\cdot|\*/g, " ")
    .replace(/[{}]/g, "")
    .replace(/ ?\^ ?/g, "^")
    .replace(/(?<=\b[a-z]{1,2})([23])$/, "^$1");
  const powers = new Map<string, number>();
  let factor = ratio(1);
  let known = true;
  for (const [i, side] of plain.split("/").entries()) {
    const tokens = side
      .trim()
      .split(/[ .]+/)
      .filter((token) => token !== "");
    if (tokens.length === 0 || tokens.length > 3 || i > 1) return undefined;
    for (const token of tokens) {
      const [, word = "", digits = "1"] = /^([\p{L}\u00b0\uff04\u20ac\u00a3\u00a5]+)(?:\^(-?\d))?$/u.exec(token) ?? [];
      const base = bases.get(word) ?? bases.get(word.replace(/s$/, ""));
      if (base === undefined && (word.length < 3 || never_units.has(word)) && !/^[\u4e00-\u9fff]/.test(word))
        return undefined;
      const exponent = Number(digits) * (i === 0 ? 1 : -1);
      const { dimension, exponent: own, factor: size } = base ?? unknown(word);
      known &&= base !== undefined;
      powers.set(dimension, (powers.get(dimension) ?? 0) + own * exponent);
      factor = exponent < 0 ? divide(factor, power(size, -exponent))! : multiply(factor, power(size, exponent));
    }
  }
  const dimension = [...powers]
    .map(([name, exponent]) => `${name}^${exponent}`)
    .sort()
    .join(" ");
  return { dimension, factor, known };
}

const unknown = (word: string): { dimension: string; exponent: number; factor: Rational } => ({
  dimension: word.replace(/(?<=\p{L}{2})s$/u, ""),
  exponent: 1,
  factor: ratio(1),
});

/** "25\pi cm^2": the longest unit of the tables at its end, behind something with a number in it. */
export function splitUnit(text: string): { readonly value: string; readonly unit: Unit } | undefined {
  for (const { index } of text.matchAll(/(?<=[\d})\u221a\p{L}] ?)(?<![\\\p{L}][a-z]*)[\p{L}\u00b0]/gu)) {
    const value = text.slice(0, index).trim();
    const suffix = text.slice(index);
    if (!/\d|\\pi|\\sqrt/.test(value) || (!/[ }]$/.test(text.slice(0, index)) && !adjacent_unit.test(suffix))) continue;
    if (suffix.startsWith("\u00b0") && /\\(?:sin|cos|tan|cot|sec|csc)/.test(value)) continue; // an argument in degrees
    const unit = parseUnit(suffix);
    if (unit?.known === true) return { value, unit };
  }
  return undefined;
}
