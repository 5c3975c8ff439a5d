import { type CeilingPlace, type GemmShape, measureBandwidth, measureGemm } from "../engine/ceilings.js";
import { type Cost, productFlops } from "./flops.js";

/** What this machine reached in this run. */
export interface Limits {
  readonly gemm: readonly MeasuredGemm[];
  /** Bytes a second read by all threads from a buffer larger than the caches. */
  readonly read_bytes_per_second: number;
}

export interface MeasuredGemm extends GemmShape {
  readonly flops_per_second: number;
}

const BUFFER_BYTES = 2 ** 28;

const keyOf = ({ product, rows, inputs, outputs }: GemmShape): string => `${product} ${rows} ${inputs} ${outputs}`;

export interface LimitOptions extends CeilingPlace {
  /** Time for each shape, seconds. */
  readonly seconds: number;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, total: number) => void;
}

/** Times every distinct product of the phases, and a read of memory. */
export async function measureLimits(costs: readonly Cost[], options: LimitOptions): Promise<Limits> {
  const { seconds, signal, onProgress } = options;
  const shapes = new Map<string, GemmShape>();
  for (const { products } of costs)
    for (const { product, rows, inputs, outputs } of products)
      shapes.set(keyOf({ product, rows, inputs, outputs }), { product, rows, inputs, outputs });
  const gemm: MeasuredGemm[] = [];
  for (const shape of shapes.values()) {
    signal.throwIfAborted();
    onProgress(gemm.length, shapes.size + 1);
    gemm.push({ ...shape, flops_per_second: await measureGemm(shape, options, seconds) });
  }
  signal.throwIfAborted();
  onProgress(shapes.size, shapes.size + 1);
  return { gemm, read_bytes_per_second: await measureBandwidth(BUFFER_BYTES, options, seconds) };
}

/**
 * The rate at which a phase's matrix products would run if nothing else took time, FLOP/s: its operations divided by the
 * sum of each product's operations at its own measured rate. Undefined for a phase without products.
 */
export function attainableRate(cost: Cost, limits: Limits): number | undefined {
  const rates = new Map(limits.gemm.map((measured) => [keyOf(measured), measured.flops_per_second]));
  let [flops, seconds] = [0, 0];
  for (const product of cost.products) {
    flops += productFlops(product);
    seconds += productFlops(product) / rates.get(keyOf(product))!;
  }
  return flops > 0 ? flops / seconds : undefined;
}
