import { resolveTrackerPaths } from "../trackers/registry.js";
import { folderOf, type LoadedConfig } from "./load.js";
import { resolveRewardPaths } from "./rewards.js";
import type { SftConfig, TrainConfig } from "./schema.js";

/** Paths of a user's modules and of their caches made absolute. */
export const withModulePaths = <T extends TrainConfig | SftConfig>(
  loaded: LoadedConfig<T>,
  set_folder?: string,
): LoadedConfig<T> => {
  const { config } = loaded;
  const folder_of = folderOf(loaded, set_folder);
  const trackers = resolveTrackerPaths(config.trackers, folder_of);
  const rewards = "rewards" in config && { rewards: resolveRewardPaths(config.rewards, folder_of) };
  return { ...loaded, config: { ...config, trackers, ...rewards } };
};
