import { type BatchArithmetic, resolveOptimizer } from "../config/arithmetic.js";
import type { SftConfig, TrainConfig } from "../config/schema.js";
import type { AlgorithmOptions } from "../engine/algorithm-options.js";
import { defaultThreads } from "../engine/addon.js";
import type { EngineOptions } from "../engine/engine.js";
import type { Processor } from "./data/processor.js";

/** What the two kinds of training ask of the engine, each in its own config's words. */
export interface Needs {
  readonly algorithm: AlgorithmOptions;
  readonly with_reference: boolean;
  readonly offload_reference?: boolean | undefined;
  readonly reference_path: string | null;
  readonly update_epochs: number;
  readonly max_completion_tokens: number;
  readonly max_concurrent_completions: number;
  readonly kv_block_size: number;
}

/** @param processes of this machine, which share its cores */
export function engineOptions(
  config: TrainConfig | SftConfig,
  needs: Needs,
  processor: Processor,
  arithmetic: BatchArithmetic,
  processes: number,
): EngineOptions {
  const { path, dtype, lora, ...trainable } = config.model;
  return {
    model_path: path,
    reference_path: needs.reference_path,
    with_reference: needs.with_reference,
    offload_reference: needs.offload_reference,
    dtype,
    device: config.device,
    image_processor: processor.image_processor,
    trainable,
    lora,
    algorithm: needs.algorithm,
    optimizer: resolveOptimizer(config.optimizer, arithmetic.optimizer_steps),
    completions_per_update: arithmetic.completions_per_update,
    tokens_per_microbatch: config.tokens_per_microbatch,
    update_epochs: needs.update_epochs,
    seed: config.seed,
    threads: config.threads > 0 ? config.threads : defaultThreads(processes),
    shard_optimizer: config.shard_optimizer,
    shard_parameters: config.shard_parameters,
    activation_checkpointing: config.activation_checkpointing,
    pack_weights: config.pack_weights,
    deterministic: config.deterministic,
    image_cache_bytes: config.image_cache_bytes,
  };
}
