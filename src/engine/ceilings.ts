import { loadAddon } from "./addon.js";

/** One matrix product of a linear layer y = x W^T: x [rows, inputs], W [outputs, inputs]. */
export interface GemmShape {
  readonly product: "forward" | "input_gradient" | "weight_gradient";
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
}

/**
 * Floating-point operations a second of float32 products of this shape, by the fastest of the engine's ways and
 * libtorch's; operands warm in cache where they fit. Medians over about `seconds` each.
 */
export const measureGemm = (
  { product, rows, inputs, outputs }: GemmShape,
  threads: number,
  seconds: number,
): Promise<number> => loadAddon().measureGemm(product, rows, inputs, outputs, threads, seconds);

/** Bytes a second that all threads read together from a buffer of `bytes`, which must be larger than the caches. */
export const measureBandwidth = (bytes: number, threads: number, seconds: number): Promise<number> =>
  loadAddon().measureBandwidth(bytes, threads, seconds);

export const libtorchVersion = (): string => loadAddon().libtorchVersion;
