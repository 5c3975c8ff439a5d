import { loadAddon } from "./addon.js";
import { asUserError, meanings } from "./native-error.js";

/**
 * Fills a folder that holds config.json with random weights (model.safetensors), keyed by `seed`.
 * @throws UserError MODEL_UNSUPPORTED, CHECKPOINT_INVALID or FILE_NOT_WRITABLE
 */
export async function initModel(folder: string, seed: number): Promise<{ num_parameters: number }> {
  try {
    return { num_parameters: await loadAddon().initModel(folder, seed) };
  } catch (error) {
    throw asUserError(error, { ...meanings.model, hint: "Correct config.json, then run the command again." });
  }
}
