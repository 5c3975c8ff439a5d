/** A value short enough for a chart's corner. */
export function short(value: number, unit = ""): string {
  if (!Number.isFinite(value)) return "–";
  if (unit === "share") return `${(100 * value).toFixed(1)} %`;
  if (unit === "bytes") return `${(value / 2 ** 30).toFixed(2)} GiB`;
  const size = Math.abs(value);
  if (size >= 1e6) return `${minus((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${minus((value / 1e3).toPrecision(3))}k`;
  if (value !== 0 && size < 1e-3) return minus(value.toExponential(1));
  return minus(Number.isInteger(value) ? String(value) : value.toPrecision(3));
}

const minus = (text: string): string => text.replaceAll("-", "−");

/** A name in words: `reward.accuracy` -> "reward: accuracy". */
export const titleOf = (name: string): string =>
  name.startsWith("reward.") ? `reward: ${name.slice(7)}` : name.replaceAll("_", " ");

export const signed = (value: number): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
