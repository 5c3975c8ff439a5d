import { defaultThreads, loadAddon } from "./addon.js";
import { type DeviceChoice, resolvedDevice } from "./device.js";

/** What the last bits of a result depend on, besides the config: another machine agrees in these or rounds otherwise. */
export interface Numerics {
  readonly libtorch: string;
  readonly device: "cpu" | "cuda";
  /** Of this process, as it will use them. */
  readonly threads: number;
  /** Of the addon's own kernels, as the loader dispatched them. */
  readonly instruction_set: "avx512" | "avx2" | "baseline";
  /** Where float32 products of `deterministic: run` come from, chosen by the processor's vendor. */
  readonly products: "onednn" | "libtorch";
}

/** `threads`: as in EngineOptions, 0 takes all cores, or this process's share of them. */
export const numerics = (threads: number, device: DeviceChoice = "cpu", processes = 1): Numerics => {
  const { libtorch, instruction_set, products } = loadAddon().numerics();
  return {
    ...{ libtorch, device: resolvedDevice(device) },
    ...{ threads: threads > 0 ? threads : defaultThreads(processes), instruction_set, products },
  };
};
