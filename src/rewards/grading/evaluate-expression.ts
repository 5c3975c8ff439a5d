import { add, divide, multiply, negate, parseDecimal, power, type Rational } from "./rational.js";

/** MathJSON, as the parser gives it: a number, a symbol, or [head, ...arguments]. */
export type MathJson = number | string | { readonly num: string } | readonly [string, ...MathJson[]];

const whole = (n: number): Rational => ({ numerator: BigInt(n), denominator: 1n });
const largest_power = 400;
const most_digits = 700;

/** The exact value of an expression without symbols, roots and functions; undefined for any other. */
export function exactValue(node: MathJson): Rational | undefined {
  if (typeof node === "number") return decimal(String(node));
  if (typeof node === "string") return undefined;
  if (!isList(node)) return decimal(node.num);
  const [head, ...rest] = node;
  const values: Rational[] = [];
  for (const argument of rest) {
    const value = exactValue(argument);
    if (value === undefined) return undefined;
    values.push(value);
  }
  const value = combine(head, values, node);
  return value !== undefined && digits(value) <= most_digits ? value : undefined;
}

const digits = (a: Rational): number => a.numerator.toString(16).length + a.denominator.toString(16).length;

function decimal(text: string): Rational | undefined {
  const value = parseDecimal(text.replace(/^-/, ""));
  return value && (text.startsWith("-") ? negate(value) : value);
}

function combine(head: string, values: readonly Rational[], node: MathJson): Rational | undefined {
  const [a, b] = values;
  if (a === undefined) return undefined;
  switch (head) {
    case "Add":
      return values.reduce(add);
    case "InvisibleOperator":
      return isMixedNumber(node) ? values.reduce(add) : values.reduce(multiply);
    case "Multiply":
      return values.reduce(multiply);
    case "Negate":
      return negate(a);
    case "Subtract":
      return b && add(a, negate(b));
    case "Divide":
    case "Rational":
      return b && divide(a, b);
    case "Delimiter":
      return values.length === 1 ? a : undefined;
    case "Square":
      return multiply(a, a);
    case "Power":
      return b && wholePower(a, b);
    case "Factorial":
      return factorial(a);
    case "Binomial":
      return b && binomial(a, b);
    default:
      return undefined;
  }
}

function wholePower(base: Rational, exponent: Rational): Rational | undefined {
  const size = asWhole(exponent);
  if (size === undefined || Math.abs(size) > largest_power || Math.abs(size) * digits(base) > 4 * most_digits)
    return undefined;
  const value = power(base, Math.abs(size));
  return size >= 0 ? value : divide(whole(1), value);
}

function asWhole({ numerator, denominator }: Rational): number | undefined {
  return numerator % denominator === 0n ? Number(numerator / denominator) : undefined;
}

function factorial(a: Rational): Rational | undefined {
  const n = asWhole(a);
  if (n === undefined || n < 0 || n > 60) return undefined;
  let value = 1n;
  for (let i = 2; i <= n; i++) value *= BigInt(i);
  return { numerator: value, denominator: 1n };
}

function binomial(a: Rational, b: Rational): Rational | undefined {
  const [all, some] = [factorial(a), factorial(b)];
  const rest = factorial(add(a, negate(b)));
  return all && some && rest && divide(all, multiply(some, rest));
}

/** "1\frac{1}{2}": a whole number right before a fraction of two. */
function isMixedNumber(node: MathJson): boolean {
  if (!isList(node) || node.length !== 3) return false;
  const [, a, b] = node;
  if (typeof a !== "number" || b === undefined || !isList(b) || b[0] !== "Divide") return false;
  return Number.isInteger(a) && typeof b[1] === "number" && typeof b[2] === "number";
}

const isList = (node: MathJson): node is readonly [string, ...MathJson[]] => Array.isArray(node);

const functions: Readonly<Record<string, (a: number, b: number) => number>> = {
  Negate: (a) => -a,
  Subtract: (a, b) => a - b,
  Divide: (a, b) => a / b,
  Rational: (a, b) => a / b,
  Square: (a) => a * a,
  Power: (a, b) => a ** b,
  Sqrt: (a) => Math.sqrt(a),
  Root: (a, n) => (a < 0 && n % 2 === 1 ? -((-a) ** (1 / n)) : a ** (1 / n)),
  Abs: Math.abs,
  Exp: Math.exp,
  Ln: (a, base) => (Number.isNaN(base) ? Math.log(a) : Math.log(a) / Math.log(base)),
  Log: (a, base) => (Number.isNaN(base) ? Math.log10(a) : Math.log(a) / Math.log(base)),
  Lb: Math.log2,
  Sin: Math.sin,
  Cos: Math.cos,
  Tan: Math.tan,
  Cot: (a) => 1 / Math.tan(a),
  Sec: (a) => 1 / Math.cos(a),
  Csc: (a) => 1 / Math.sin(a),
  Arcsin: Math.asin,
  Arccos: Math.acos,
  Arctan: Math.atan,
  Sinh: Math.sinh,
  Cosh: Math.cosh,
  Tanh: Math.tanh,
  Degrees: (a) => (a * Math.PI) / 180,
  Delimiter: (a) => a,
  Factorial: (a) => (Number.isInteger(a) && a >= 0 && a <= 60 ? Number(factorial(whole(a))!.numerator) : NaN),
};
const with_two = new Set(["Subtract", "Divide", "Rational", "Power", "Root"]);

/** In float64; NaN where undefined. `scale` is the largest number met on the way, which bounds the rounding error. */
export function floatValue(
  node: MathJson,
  point: (symbol: string) => number,
): { readonly value: number; readonly scale: number } {
  let scale = 0;
  const visit = (at: MathJson): number => {
    const value = compute(at);
    if (Number.isFinite(value)) scale = Math.max(scale, Math.abs(value));
    return value;
  };
  const compute = (at: MathJson): number => {
    if (typeof at === "number") return at;
    if (typeof at === "string") return constants[at] ?? point(at);
    if (!isList(at)) return Number(at.num);
    const [head, ...rest] = at;
    if (head === "At") return point(symbolName(at));
    const exact = head === "Binomial" ? exactValue(at) : undefined;
    if (exact !== undefined) return Number(exact.numerator) / Number(exact.denominator);
    const values = rest.map(visit);
    if (head === "Add" || (head === "InvisibleOperator" && isMixedNumber(at))) return values.reduce((a, b) => a + b, 0);
    if (head === "Multiply" || head === "InvisibleOperator") return values.reduce((a, b) => a * b, 1);
    const apply = Object.hasOwn(functions, head) ? functions[head] : undefined;
    const [a = NaN, b = NaN] = values;
    if (apply === undefined || values.length > 2 || (with_two.has(head) && values.length !== 2)) return NaN;
    return apply(a, b);
  };
  return { value: visit(node), scale };
}

const constants: Readonly<Record<string, number>> = Object.assign(Object.create(null) as object, {
  Pi: Math.PI,
  ExponentialE: Math.E,
  e: Math.E,
});

/** The symbols of an expression; undefined if it holds something that is not evaluated here. */
export function symbolsOf(node: MathJson): ReadonlySet<string> | undefined {
  const found = new Set<string>();
  const visit = (at: MathJson): boolean => {
    if (typeof at === "string") {
      if (!(at in constants)) found.add(at);
      return !/Infinity|NaN|Nothing|^'/.test(at);
    }
    if (!isList(at)) return true;
    const [head, ...rest] = at;
    if (head === "At") {
      found.add(symbolName(at));
      return rest.length === 2 && rest.every((part) => !isList(part));
    }
    const known = Object.hasOwn(functions, head) || ["Add", "Multiply", "InvisibleOperator", "Binomial"].includes(head);
    return known && rest.length > 0 && rest.every(visit);
  };
  return visit(node) ? found : undefined;
}

/** a_1 */
const symbolName = ([, ...parts]: readonly MathJson[]): string => parts.map(String).join("_");
