import type { SftConfig, TrainConfig } from "../config/schema.js";
import { locateModel } from "../hub/locate.js";
import type { HubOptions } from "../hub/options.js";

/** A config whose model and reference lie on this machine, and the same as a run folder keeps it: by commit of the hub. */
export interface LocatedConfig<T> {
  readonly config: T;
  readonly pinned: T;
}

/**
 * Downloads what the config's model and reference name on the hub.
 * @throws UserError FILE_NOT_FOUND for a path that leads nowhere, DOWNLOAD_FAILED
 */
export async function locateModels<T extends TrainConfig | SftConfig>(
  config: T,
  hub?: HubOptions,
): Promise<LocatedConfig<T>> {
  const model = await locateModel(config.model.path, hub);
  const with_model = (path: string): T => ({ ...config, model: { ...config.model, path } });
  const located = { config: with_model(model.path), pinned: with_model(model.pinned ?? config.model.path) };
  if (!("reference" in config) || config.reference.path === null) return located;
  const reference = await locateModel(config.reference.path, hub);
  const with_reference = (to: T, path: string): T => ({ ...to, reference: { ...config.reference, path } });
  return {
    config: with_reference(located.config, reference.path),
    pinned: with_reference(located.pinned, reference.pinned ?? config.reference.path),
  };
}
