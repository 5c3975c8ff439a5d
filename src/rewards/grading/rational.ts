/** An exact fraction; `denominator` > 0. Not reduced. */
export interface Rational {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

/** Longer numbers are not answers, and would make exact arithmetic slow. */
const most_digits = 200;
const largest_exponent = 200;

export const equals = (a: Rational, b: Rational): boolean =>
  a.numerator * b.denominator === b.numerator * a.denominator;

/** |a - b| <= tolerance */
export function within(a: Rational, b: Rational, tolerance: Rational): boolean {
  const difference = a.numerator * b.denominator - b.numerator * a.denominator;
  const size = difference < 0n ? -difference : difference;
  return size * tolerance.denominator <= tolerance.numerator * a.denominator * b.denominator;
}

export const negate = (a: Rational): Rational => ({ numerator: -a.numerator, denominator: a.denominator });

export const add = (a: Rational, b: Rational): Rational => ({
  numerator: a.numerator * b.denominator + b.numerator * a.denominator,
  denominator: a.denominator * b.denominator,
});

export const multiply = (a: Rational, b: Rational): Rational => ({
  numerator: a.numerator * b.numerator,
  denominator: a.denominator * b.denominator,
});

/** For whole exponents >= 0; the caller bounds them. */
export const power = (a: Rational, exponent: number): Rational => ({
  numerator: a.numerator ** BigInt(exponent),
  denominator: a.denominator ** BigInt(exponent),
});

/** Undefined for b = 0. */
export function divide(a: Rational, b: Rational): Rational | undefined {
  if (b.numerator === 0n) return undefined;
  const sign = b.numerator < 0n ? -1n : 1n;
  return { numerator: sign * a.numerator * b.denominator, denominator: sign * a.denominator * b.numerator };
}

/** "12", "1,000", ".5", "5.", "1.5e-3", without a sign. Undefined for anything else. */
export function parseDecimal(text: string): Rational | undefined {
  if (text.length > most_digits) return undefined;
  const plain = /^\d{1,3}(,\d{3})+(\.|$)/.test(text) ? text.replaceAll(",", "") : text;
  const match = /^(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,4}))?$/i.exec(plain);
  if (match === null) return undefined;
  const [, whole = "", fraction = "", exponent = "0"] = match;
  if (whole === "" && fraction === "") return undefined;
  const shift = Number(exponent) - fraction.length;
  if (Math.abs(shift) > largest_exponent + most_digits) return undefined;
  const digits = BigInt(whole + fraction);
  const power = 10n ** BigInt(Math.abs(shift));
  return shift >= 0 ? { numerator: digits * power, denominator: 1n } : { numerator: digits, denominator: power };
}
