import { loadAddon } from "./addon.js";
import type { Dtype, OpenOptions } from "./engine.js";
import { callNative } from "./native-call.js";
import { meanings } from "./native-error.js";

export interface InitOptions {
  /** Of the random weights: equal seeds give equal weights, but for the rounding of a narrower dtype. */
  readonly seed: number;
  readonly dtype: Dtype;
}

/**
 * Fills a folder that holds config.json with random weights (model.safetensors), one tensor in memory at a time.
 * @throws UserError MODEL_UNSUPPORTED, CHECKPOINT_INVALID or FILE_NOT_WRITABLE
 */
export async function initModel(
  folder: string,
  { seed, dtype }: InitOptions,
  { signal, on_progress }: OpenOptions = {},
): Promise<{ num_parameters: number }> {
  const addon = loadAddon();
  const meaning = { ...meanings.model, hint: "Correct config.json, then run the command again." };
  const num_parameters = await callNative(
    addon,
    (stop) => addon.initModel(folder, seed, dtype, stop, on_progress),
    meaning,
    { signal },
  );
  return { num_parameters };
}
