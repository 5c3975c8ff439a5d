import { sameEquation, sameExpression } from "./algebra.js";
import { choice, comparable, plainText, row_end } from "./plain-text.js";
import { parseQuantity, type Quantity } from "./quantity.js";
import { divide, equals, multiply, parseDecimal, type Rational, within } from "./rational.js";
import { type Answer, isLabel, parseAnswer, split } from "./structure.js";
import { splitUnit, type Unit } from "./units.js";

export interface JudgeOptions {
  /** Largest absolute difference of two numbers that still counts as equal; absent: exact. */
  readonly tolerance?: number | undefined;
}

/** Whether two answers are the same; docs/judge.md has the rules. `given` may be any text, of any length. */
export async function isSameAnswer(given: string, truth: string, { tolerance }: JudgeOptions = {}): Promise<boolean> {
  if (given.length > 1000 + 10 * truth.length || truth.length > 10_000) return false; // prose; also bounds the work
  const [a, b] = [plainText(given), plainText(truth)];
  if (!/[\p{L}\p{N}\u2205\u221e]/u.test(b)) return false;
  if (comparable(a) === comparable(b)) return true;
  if (sameChoice(a, b)) return true;
  const wanted = parseMatrix(b) ?? parseAnswer(b);
  if (await same(parseMatrix(a) ?? parseAnswer(a), wanted, tolerance)) return true;
  const rounded = split(a, /\u2248/); // "5 sqrt 3, about 8.66" states both
  if (rounded.length !== 2 || b.includes("\u2248")) return false;
  return (
    (await same(parseAnswer(rounded[0]!), wanted, tolerance)) ||
    (await same(parseAnswer(rounded[1]!), wanted, tolerance))
  );
}

/** A letter on one side, and on the other that letter with the text of the choice. */
function sameChoice(a: string, b: string): boolean {
  const [x, y] = [choice(a), choice(b)];
  if (x === undefined || y === undefined || x.letter !== y.letter) return false;
  return x.content === "" || y.content === "" || comparable(x.content) === comparable(y.content);
}

/** Rows of a matrix as a tuple of tuples. */
function parseMatrix(text: string): Answer | undefined {
  const body = /^\\begin\{[pbBvV]?matrix\}(.*)\\end\{[pbBvV]?matrix\}$/s.exec(text)?.[1];
  if (body === undefined || body.length > 2000) return undefined;
  const tuple = (items: readonly Answer[]): Answer => ({ kind: "tuple", open: "m", close: "m", items });
  const rows = body.split(row_end).filter((row) => row.trim() !== "");
  return tuple(rows.map((row) => tuple(row.split("&").map((cell) => parseAnswer(cell.trim())))));
}

async function same(a: Answer, b: Answer, tolerance: number | undefined): Promise<boolean> {
  if (a.kind === "labelled" || b.kind === "labelled") return sameLabelled(a, b, tolerance);
  if (a.kind === "leaf" && b.kind === "leaf") return sameLeaf(a.text, b.text, tolerance);
  if (a.kind === "equation" || b.kind === "equation") return sameAsEquation(a, b, tolerance);
  if (a.kind === "relation" && b.kind === "relation") {
    if (a.operator !== b.operator) return false;
    const straight = (await sameLeaf(a.left, b.left)) && (await sameLeaf(a.right, b.right));
    return (
      straight || (a.operator === "\u2260" && (await sameLeaf(a.left, b.right)) && (await sameLeaf(a.right, b.left)))
    );
  }
  if (a.kind === "tuple" && b.kind === "tuple") return sameTuple(a, b, tolerance);
  if ("items" in a && "items" in b && a.kind !== "tuple" && b.kind !== "tuple") {
    if ((a.kind === "union") !== (b.kind === "union")) return false;
    const distinct = a.kind === "set" || b.kind === "set";
    return sameCollection(a.items, b.items, distinct, tolerance);
  }
  const [ratio, other] = a.kind === "tuple" ? [a, b] : [b, a];
  if (ratio.kind !== "tuple" || ratio.open !== ":" || other.kind !== "leaf" || ratio.items.length !== 2) return false;
  const [over, under] = ratio.items.map((item) => (item.kind === "leaf" ? item.text : ""));
  return sameLeaf(`\\frac{${over}}{${under}}`, other.text, tolerance); // 3:4 is 3/4
}

type Of<Kind extends Answer["kind"]> = Extract<Answer, { kind: Kind }>;

async function sameTuple(a: Of<"tuple">, b: Of<"tuple">, tolerance: number | undefined): Promise<boolean> {
  if (a.items.length !== b.items.length) return false;
  if (a.variable !== undefined && b.variable !== undefined && comparable(a.variable) !== comparable(b.variable))
    return false;
  const point = (bracket: string): string => ({ "\u27e8": "(", "\u27e9": ")" })[bracket] ?? bracket;
  if (point(a.open) !== point(b.open) || point(a.close) !== point(b.close)) return false;
  for (const [i, item] of a.items.entries()) {
    if (a.open !== ":" || i === 0) {
      if (a.open !== ":" && !(await same(item, b.items[i]!, tolerance))) return false;
      continue;
    }
    const [x, y] = [
      [a.items[0]!, item],
      [b.items[0]!, b.items[i]!],
    ].map((pair) => pair.map((part) => (part.kind === "leaf" ? part.text : "")));
    if (!(await sameLeaf(`\\frac{${x!.join("}{")}}`, `\\frac{${y!.join("}{")}}`, tolerance))) return false;
  }
  return true;
}

/** Each of one has its partner in the other, whatever the order; in a set, what is there twice is there once. */
async function sameCollection(
  a: readonly Answer[],
  b: readonly Answer[],
  distinct: boolean,
  tolerance: number | undefined,
): Promise<boolean> {
  if (!distinct && a.length !== b.length) return false;
  const find = async (item: Answer, among: readonly Answer[]): Promise<number> => {
    for (const [i, other] of among.entries()) if (await same(item, other, tolerance)) return i;
    return -1;
  };
  const left = [...b];
  for (const item of a) {
    const at = await find(item, left);
    if (at < 0) return false;
    if (!distinct) left.splice(at, 1);
  }
  if (distinct) for (const item of b) if ((await find(item, a)) < 0) return false;
  return true;
}

/** "x = 3" is 3, or "x = 3", or the equation 2x = 6; never "y = 3". */
async function sameLabelled(a: Answer, b: Answer, tolerance: number | undefined): Promise<boolean> {
  if (a.kind === "labelled" && b.kind === "labelled") {
    if (comparable(a.label) === comparable(b.label)) return same(a.value, b.value, tolerance);
    const stem = (label: string): string => label.replace(/_\{?\d\}?$/, "");
    if (stem(a.label) === stem(b.label) && (stem(a.label) === a.label || stem(b.label) === b.label))
      return same(a.value, b.value, tolerance); // x_1 = 3, x = 3
    return sameEquation(sides(a), sides(b));
  }
  if (a.kind === "labelled") return sameAsNamed(a, b, tolerance);
  return b.kind === "labelled" && sameAsNamed(b, a, tolerance);
}

async function sameAsNamed(named: Of<"labelled">, other: Answer, tolerance: number | undefined): Promise<boolean> {
  if (other.kind === "equation") return sameEquation(sides(named), [other.left, other.right]);
  if (other.kind === "leaf" && isLabel(other.text) && named.value.kind === "leaf" && !isLabel(named.value.text))
    return false;
  return same(named.value, other, tolerance);
}

const sides = ({ text }: Of<"labelled">): readonly [string, string] => {
  const at = text.indexOf("=");
  return [text.slice(0, at), text.slice(at + 1)];
};

async function sameAsEquation(a: Answer, b: Answer, tolerance: number | undefined): Promise<boolean> {
  if (a.kind === "equation" && b.kind === "equation") {
    const straight = (await sameLeaf(a.left, b.left)) && (await sameLeaf(a.right, b.right));
    return straight || sameEquation([a.left, a.right], [b.left, b.right]);
  }
  const [one, other] = a.kind === "equation" ? [a, b] : [b, a];
  if (one.kind !== "equation" || other.kind !== "leaf") return false;
  return (await sameLeaf(one.right, other.text, tolerance)) && (await sameLeaf(one.left, one.right)); // 3 + 4 = 7
}

async function sameLeaf(a: string, b: string, tolerance?: number): Promise<boolean> {
  const text = comparable(a);
  if (text !== "" && text === comparable(b)) return true;
  const [x, y] = [parseQuantity(a), parseQuantity(b)];
  if (x !== undefined && y !== undefined) return sameQuantity(x, y, tolerance);
  if (/%/.test(a + b)) return false;
  const [left, right] = [splitUnit(a), splitUnit(b)];
  const [factor_a, factor_b] = unitFactors(left?.unit ?? x?.unit, right?.unit ?? y?.unit) ?? [];
  if (factor_a === undefined || factor_b === undefined || !equals(factor_a, factor_b)) return false;
  return sameExpression(left?.value ?? withoutUnit(a, x), right?.value ?? withoutUnit(b, y), tolerance);
}

/** A quantity's number alone, where its unit is in no table. */
const withoutUnit = (text: string, quantity: Quantity | undefined): string =>
  quantity?.unit === undefined ? text : text.replace(/ [\p{L} ]+$/u, "");

/** What to multiply the two values with; undefined for different units. A unit on one side only does not count. */
function unitFactors(a: Unit | undefined, b: Unit | undefined): readonly [Rational, Rational] | undefined {
  const one: Rational = { numerator: 1n, denominator: 1n };
  if (a === undefined || b === undefined) return [one, one];
  return a.dimension === b.dimension ? [a.factor, b.factor] : undefined;
}

function sameQuantity(a: Quantity, b: Quantity, tolerance: number | undefined): boolean {
  const near = (x: Rational, y: Rational): boolean =>
    equals(x, y) || (tolerance !== undefined && within(x, y, parseDecimal(String(tolerance))!));
  if (a.percent || b.percent) {
    if (a.unit !== undefined || b.unit !== undefined) return false;
    if (a.percent && b.percent) return near(a.value, b.value);
    const [percent, number] = a.percent ? [a.value, b.value] : [b.value, a.value];
    if (near(divide(percent, hundred)!, number)) return true;
    return number.numerator > number.denominator && near(percent, number); // 50 % for 50, but not 0.5 % for 0.5
  }
  const factors = unitFactors(a.unit, b.unit);
  if (factors === undefined) return false;
  if (equals(...factors)) return near(a.value, b.value);
  return near(multiply(a.value, factors[0]), multiply(b.value, factors[1]));
}

const hundred: Rational = { numerator: 100n, denominator: 1n };
