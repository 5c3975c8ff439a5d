/** From values to places on paper. */
export interface Scale {
  readonly domain: readonly [low: number, high: number];
  readonly ticks: readonly number[];
  place(value: number): number;
}

/** A linear scale onto [from, to] whose ticks are 1, 2 or 5 times a power of ten. `snug` keeps the domain as it is. */
export function linearScale(
  [low, high]: readonly [number, number],
  [from, to]: readonly [number, number],
  options: { readonly num_ticks?: number; readonly snug?: boolean } = {},
): Scale {
  const { num_ticks = 4, snug = false } = options;
  // Differences that are rounding only would give more ticks than a double can count.
  if (!(high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high), 1e-200))) {
    const margin = Math.abs(low) > 0 ? Math.abs(low) / 10 : 1;
    [low, high] = [low - margin, low + margin];
  }
  const spacing = tickSpacing((high - low) / num_ticks);
  if (!snug) [low, high] = [Math.floor(low / spacing + 1e-9) * spacing, Math.ceil(high / spacing - 1e-9) * spacing];
  const ticks: number[] = [];
  for (let i = Math.ceil(low / spacing - 1e-9); i * spacing <= high + spacing * 1e-9; i++)
    ticks.push(Number((i * spacing).toPrecision(12)));
  return { domain: [low, high], ticks, place: (value) => from + ((value - low) / (high - low)) * (to - from) };
}

function tickSpacing(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * (rough / power <= 1 ? 1 : rough / power <= 2 ? 2 : rough / power <= 5 ? 5 : 10);
}

/** Labels of ticks: as many digits as tell neighbours apart, thousands as k, shares in percent. */
export function tickLabel(value: number, ticks: readonly number[], unit: string): string {
  const spacing = ticks.length > 1 ? Math.abs(ticks[1]! - ticks[0]!) : Math.abs(value);
  if (unit === "share") return `${fixed(100 * value, 100 * spacing)} %`;
  const largest = Math.max(...ticks.map(Math.abs));
  if (unit === "bytes") return `${fixed(value / 2 ** 30, spacing / 2 ** 30)} GiB`;
  if (largest >= 1e6) return `${fixed(value / 1e6, spacing / 1e6)}M`;
  if (largest >= 1e4) return `${fixed(value / 1e3, spacing / 1e3)}k`;
  if (largest > 0 && largest < 1e-3) return value === 0 ? "0" : value.toExponential(0).replace("e-", "e−");
  return fixed(value, spacing);
}

const fixed = (value: number, spacing: number): string => {
  const digits = Math.min(6, Math.max(0, -Math.floor(Math.log10(spacing || 1) + 1e-9)));
  return value
    .toFixed(digits)
    .replace(/^-(?=0(\.0*)?$)/, "")
    .replace("-", "−");
};
