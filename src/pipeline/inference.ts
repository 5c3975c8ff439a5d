import type { Deterministic, Dtype, Engine, EngineOptions, OpenOptions } from "../engine/engine.js";
import type { DeviceChoice } from "../engine/device.js";
import { openEngine } from "../engine/native-engine.js";
import { locateModel } from "../hub/locate.js";
import type { HubOptions } from "../hub/options.js";
import { loadProcessor, type Processor } from "./data/processor.js";
import { checkAdapterFolder } from "./adapter-folder.js";

export interface InferenceOptions {
  /** A folder, or a model of the hub. */
  readonly model_path: string;
  /** Folder in PEFT's format. */
  readonly adapter_path?: string | undefined;
  readonly seed: number;
  readonly threads: number;
  readonly dtype: Dtype;
  readonly device?: DeviceChoice | undefined;
  readonly hub?: HubOptions | undefined;
  readonly deterministic: Deterministic;
}

export interface Inference extends AsyncDisposable {
  readonly engine: Engine;
  readonly processor: Processor;
}

/** A model to sample from: nothing is trainable, so no gradients or moments are held. */
export async function openInference(
  { model_path: given_path, adapter_path, seed, threads, dtype, device, deterministic, hub }: InferenceOptions,
  opening: OpenOptions = {},
): Promise<Inference> {
  const { path: model_path } = await locateModel(given_path, hub);
  if (adapter_path !== undefined) await checkAdapterFolder(adapter_path);
  const processor = await loadProcessor(model_path);
  const options: EngineOptions = {
    model_path,
    reference_path: null,
    with_reference: false,
    ...{ dtype, device },
    image_processor: processor.image_processor,
    trainable: { train_vision_tower: false, train_connector: false, train_language_model: false },
    lora: adapter_path === undefined ? null : { path: adapter_path },
    algorithm: { name: "supervised", loss_aggregation: "token_mean", max_completion_tokens: 1 },
    optimizer: {
      ...{ learning_rate: 0, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0, max_grad_norm: null },
      ...{ schedule: "constant", warmup_steps: 0, total_steps: 1, min_learning_rate_ratio: 0 },
    },
    ...{ completions_per_update: 1, tokens_per_microbatch: 1, update_epochs: 1 },
    deterministic,
    ...{ seed, threads, activation_checkpointing: false, pack_weights: true, image_cache_bytes: 2 ** 30 },
  };
  const engine = await openEngine(options, opening);
  return { engine, processor, [Symbol.asyncDispose]: () => engine.close() };
}
