import { exactValue, floatValue, type MathJson, symbolsOf } from "./evaluate-expression.js";
import { toLatex } from "./expression.js";
import { equals, parseDecimal, type Rational, within } from "./rational.js";

/**
 * Algebra by evaluation: compute-engine parses, and two expressions are the same if they have the same exact value, or
 * agree in float64 at every point of a fixed set where both are defined. The engine's own `simplify` and `isEqual` are
 * not used: they have no bound (100000! runs for more than 10 s), and call 1.41421356237 the square root of 2.
 */

/** What is used of compute-engine, whose own declarations do not resolve under NodeNext. */
interface Engine {
  latexDictionary: readonly unknown[];
  parse(latex: string, options: { readonly canonical: boolean }): { readonly json: unknown };
}
interface LatexParser {
  parseGroup(): unknown;
}

/** Loaded at the first expression that needs it: most answers are numbers or letters. */
let loading: Promise<Engine> | undefined;
const engine = (): Promise<Engine> => (loading ??= load());

async function load(): Promise<Engine> {
  const { ComputeEngine } = (await import("@cortex-js/compute-engine")) as unknown as {
    ComputeEngine: new () => Engine;
  };
  const loaded = new ComputeEngine();
  const group = (parser: LatexParser): unknown => parser.parseGroup() ?? "Nothing";
  const binomial = {
    latexTrigger: ["\\binom"],
    parse: (parser: LatexParser) => ["Binomial", group(parser), group(parser)],
  };
  loaded.latexDictionary = [...loaded.latexDictionary, binomial];
  return loaded;
}

interface Expression {
  readonly node: MathJson;
  readonly symbols: ReadonlySet<string>;
  readonly exact: Rational | undefined;
  /** Has a decimal so long that float64 cannot tell it from the number that it approximates. */
  readonly long_decimal: boolean;
}

async function parseExpression(text: string): Promise<Expression | undefined> {
  const latex = toLatex(text);
  if (latex === undefined) return undefined;
  const node = parse(await engine(), latex);
  if (node === undefined) return undefined;
  const symbols = symbolsOf(node);
  return symbols && { node, symbols, exact: exactValue(node), long_decimal: /\d{12}|\.\d{7}/.test(text) };
}

/** Undefined where the parser throws: it meets any text, and its faults are not the completion's. */
function parse(engine: Engine, latex: string): MathJson | undefined {
  try {
    return engine.parse(latex, { canonical: false }).json as MathJson;
  } catch {
    return undefined;
  }
}

/** Whether two plain texts are the same expression. `tolerance` is for numbers, not for formulas. */
export async function sameExpression(a: string, b: string, tolerance?: number): Promise<boolean> {
  const [x, y] = [await parseExpression(a), await parseExpression(b)];
  if (x === undefined || y === undefined) return false;
  if (x.exact !== undefined && y.exact !== undefined)
    return (
      equals(x.exact, y.exact) ||
      (tolerance !== undefined && within(x.exact, y.exact, parseDecimal(String(tolerance))!))
    );
  const symbols = [...new Set([...x.symbols, ...y.symbols])];
  if (symbols.length === 0 && tolerance !== undefined) {
    const difference = floatValue(x.node, never).value - floatValue(y.node, never).value;
    if (Math.abs(difference) <= tolerance) return true;
  }
  if (x.long_decimal || y.long_decimal) return false;
  return agree(symbols, (point) => {
    const [left, right] = [floatValue(x.node, point), floatValue(y.node, point)];
    return { a: left.value, b: right.value, scale: Math.max(left.scale, right.scale) };
  });
}

/** Whether left1 = right1 and left2 = right2 say the same: their differences are proportional. */
export async function sameEquation(one: readonly [string, string], two: readonly [string, string]): Promise<boolean> {
  const sides: Expression[] = [];
  for (const text of [...one, ...two]) {
    const side = await parseExpression(text);
    if (side === undefined || side.long_decimal) return false;
    sides.push(side);
  }
  const symbols = (from: number): string[] =>
    [...new Set([...sides[from]!.symbols, ...sides[from + 1]!.symbols])].sort();
  const names = symbols(0);
  if (names.length === 0 || names.join(" ") !== symbols(2).join(" ")) return false;
  let factor: number | undefined;
  return agree(names, (point) => {
    const [a, b, c, d] = sides.map(({ node }) => floatValue(node, point));
    const [first, second] = [a!.value - b!.value, c!.value - d!.value];
    factor ??= Number.isFinite(first / second) && first !== 0 ? first / second : undefined;
    return { a: first, b: second * (factor ?? NaN), scale: Math.max(a!.scale, b!.scale) };
  });
}

const never = (): number => NaN;
const points = [1.37, 2.71, 0.58, 4.93, 7.19, 12.61, -1.83, -3.49, -0.71];
const fewest_points = 3;

/** Whether a = b at all points where both are defined, and those are enough; one point where there is no symbol. */
function agree(
  symbols: readonly string[],
  compare: (point: (symbol: string) => number) => { readonly a: number; readonly b: number; readonly scale: number },
): boolean {
  const table = symbols.length === 0 ? [0] : points;
  let defined = 0;
  for (const [i, base] of table.entries()) {
    const { a, b, scale } = compare((symbol) => base * (1 + 0.13 * Math.sin(hash(symbol) + i)));
    if (!Number.isFinite(a) || !Number.isFinite(b)) continue;
    const size = Math.max(Math.abs(a), Math.abs(b));
    if (Math.abs(a - b) > Math.max(1e-10 * size, 1e-14 * scale)) return false;
    defined += 1;
  }
  return defined >= (symbols.length === 0 ? 1 : fewest_points);
}

function hash(symbol: string): number {
  let value = 7;
  for (const character of symbol) value = (value * 31 + character.charCodeAt(0)) % 10007;
  return value;
}
