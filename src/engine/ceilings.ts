import { loadAddon } from "./addon.js";
import { type DeviceChoice, deviceName } from "./device.js";
import type { Dtype } from "./engine.js";

/** One matrix product of a linear layer y = x W^T: x [rows, inputs], W [outputs, inputs]. */
export interface GemmShape {
  readonly product: "forward" | "input_gradient" | "weight_gradient";
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** Where products and copies are timed. */
export interface CeilingPlace {
  readonly device: DeviceChoice;
  readonly dtype: Dtype;
  readonly threads: number;
}

/**
 * Floating-point operations a second of products of this shape, by the fastest of the engine's ways and
 * libtorch's; operands warm in cache where they fit. Medians over about `seconds` each.
 */
export const measureGemm = (
  { product, rows, inputs, outputs }: GemmShape,
  { device, dtype, threads }: CeilingPlace,
  seconds: number,
): Promise<number> =>
  loadAddon().measureGemm(product, rows, inputs, outputs, threads, seconds, deviceName(device), dtype);

/**
 * Bytes a second that all threads read together from a buffer of `bytes`, which must be larger than the caches; on a device, that a
 * copy reads and writes.
 */
export const measureBandwidth = (
  bytes: number,
  { device, dtype, threads }: CeilingPlace,
  seconds: number,
): Promise<number> => loadAddon().measureBandwidth(bytes, threads, seconds, deviceName(device), dtype);

export const libtorchVersion = (): string => loadAddon().libtorchVersion;
