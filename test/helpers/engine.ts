import { algorithmSchema } from "../../src/config/algorithms.js";
import type { AlgorithmOptions } from "../../src/engine/algorithm-options.js";
import type { Engine, EngineOptions, SamplingOptions, UpdateStats } from "../../src/engine/engine.js";
import { openEngine } from "../../src/engine/native-engine.js";
import { loadProcessor, type Processor } from "../../src/pipeline/data/processor.js";
import { engineAlgorithm } from "../../src/pipeline/engine-algorithm.js";

export const ALL_PARTS = { train_vision_tower: true, train_connector: true, train_language_model: true };

/** Of the fixtures. */
export const OPTIMIZER = {
  learning_rate: 1e-3,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-5,
  weight_decay: 0.01,
  max_grad_norm: null,
  schedule: "constant",
  warmup_steps: 0,
  total_steps: 100,
  min_learning_rate_ratio: 0,
} as const;

/** As a config's `algorithm` names it. */
export const algorithm = <Name extends AlgorithmOptions["name"]>(
  config: { readonly name: Name } & Readonly<Record<string, unknown>>,
  max_completion_tokens = 64,
) => engineAlgorithm(algorithmSchema.parse(config), max_completion_tokens) as Extract<AlgorithmOptions, { name: Name }>;

/** An engine with every part trained, the loss and the optimizer of the fixtures, and a frozen reference. */
export async function openTestEngine(
  model_path: string,
  overrides: Partial<EngineOptions> = {},
): Promise<{ engine: Engine; processor: Processor }> {
  const processor = await loadProcessor(model_path);
  const engine = await openEngine({
    model_path,
    reference_path: null,
    with_reference: true,
    dtype: "float32",
    image_processor: processor.image_processor,
    trainable: ALL_PARTS,
    algorithm: algorithm({ name: "grpo", kl_loss_coefficient: 0.05, loss_aggregation: "token_mean" }),
    optimizer: OPTIMIZER,
    completions_per_update: 1024,
    tokens_per_microbatch: 4096,
    update_epochs: 1,
    seed: 0,
    threads: 0,
    activation_checkpointing: false,
    pack_weights: true,
    deterministic: "run",
    image_cache_bytes: 1 << 28,
    ...overrides,
  });
  return { engine, processor };
}

export function sampling(overrides: Partial<SamplingOptions> = {}): SamplingOptions {
  return {
    temperature: 1,
    top_k: 0,
    top_p: 1,
    max_completion_tokens: 16,
    stop_token_ids: [],
    seed: 0,
    step: 0,
    max_concurrent_completions: 32,
    kv_block_size: 8,
    stream: false,
    ...overrides,
  };
}

/** What repeats bit for bit: everything but how long it took. */
export const untimed = (stats: UpdateStats): object =>
  Object.fromEntries(Object.entries(stats).filter(([name]) => !name.endsWith("_seconds")));
