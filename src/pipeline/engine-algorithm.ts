import type { AlgorithmConfig } from "../config/algorithms.js";
import type { AlgorithmOptions } from "../engine/algorithm-options.js";

/** An algorithm as the engine takes it: without what the pipeline does itself. */
export function engineAlgorithm(algorithm: AlgorithmConfig, max_completion_tokens: number): AlgorithmOptions {
  if (algorithm.name === "reinforce_plus_plus") return { ...algorithm, max_completion_tokens };
  const { dynamic_sampling: _, ...options } = algorithm;
  return { ...options, max_completion_tokens };
}
