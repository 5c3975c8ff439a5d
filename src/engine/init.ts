import { loadAddon } from "./addon.js";
import { asUserError } from "./native-error.js";

/**
 * Fills a folder that holds config.json with random weights (model.safetensors), keyed by `seed`.
 * @throws UserError MODEL_UNSUPPORTED or CHECKPOINT_INVALID
 */
export async function initModel(folder: string, seed: number): Promise<{ num_parameters: number }> {
  try {
    return { num_parameters: await loadAddon().initModel(folder, seed) };
  } catch (error) {
    throw asUserError(error, "CHECKPOINT_INVALID", "Correct config.json, then run the command again.");
  }
}
