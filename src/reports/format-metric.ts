import { metric } from "./metrics.js";

/** A value with its unit, short: "12.4 tokens", "63.2 %", "1.31 GiB". */
export function formatMetric(name: string, value: number): string {
  const { unit } = metric(name);
  switch (unit) {
    case "share":
      return `${(100 * value).toFixed(1)} %`;
    case "bytes":
      return `${(value / 2 ** 30).toFixed(2)} GiB`;
    case "loss":
    case "reward":
    case "advantage":
    case "nats":
    case "nats/token":
      return `${short(value)}${unit.startsWith("nats") ? ` ${unit}` : ""}`;
    case "1":
    case "ratio":
    case "norm":
      return short(value);
    default:
      return `${short(value)} ${unit}`;
  }
}

function short(value: number): string {
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e6 ? value.toExponential(2) : value.toPrecision(size >= 100 ? 4 : 3);
}
