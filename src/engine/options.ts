import type { AlgorithmOptions } from "./algorithm-options.js";
import type { DeviceChoice } from "./device.js";

/** Resize, rescale and normalisation settings, from the checkpoint's preprocessor files. */
export interface ImageProcessorSettings {
  /** Side of a square patch, pixels. */
  readonly patch_size: number;
  /** Frames per patch; a still image is repeated to fill it. */
  readonly temporal_patch_size: number;
  /** `merge_size` x `merge_size` patches become one image token. */
  readonly merge_size: number;
  /** Bounds of the resized area, pixels (height x width). */
  readonly min_pixels: number;
  readonly max_pixels: number;
  /** Multiplies uint8 values before normalisation; 1/255 as a rule. */
  readonly rescale_factor: number;
  /** Per channel (R, G, B), after rescaling. */
  readonly image_mean: readonly number[];
  readonly image_std: readonly number[];
}

/** Which parts of the model learn. Frozen vision features are computed once per image and reused. */
export interface TrainableParts {
  readonly train_vision_tower: boolean;
  readonly train_connector: boolean;
  readonly train_language_model: boolean;
}

/**
 * LoRA (arXiv:2106.09685) on linear layers of the language model, trained in place of its weights. What is left out is the
 * loaded adapter's; a new one needs `rank` and `alpha`.
 */
export interface LoraOptions {
  /** Folder in PEFT's format; absent or null: a new adapter, A uniform by `seed`, B 0. */
  readonly path?: string | null | undefined;
  readonly rank?: number | undefined;
  readonly alpha?: number | undefined;
  /** Last parts of the layers' names; by default every one but the LM head. */
  readonly targets?: "all_linear" | readonly string[] | undefined;
  /** Scale by alpha / sqrt(rank), not alpha / rank (arXiv:2312.03732). */
  readonly rslora?: boolean | undefined;
}

/** AdamW (arXiv:1711.05101) with decoupled weight decay on every trainable parameter, and its schedule. */
export interface OptimizerOptions {
  readonly learning_rate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weight_decay: number;
  /** L2 norm over all gradients above which they are scaled down; null switches clipping off. */
  readonly max_grad_norm: number | null;
  readonly schedule: "constant" | "linear" | "cosine";
  /** Optimizer steps of linear warm-up from 0. */
  readonly warmup_steps: number;
  /** Optimizer steps of the whole schedule, warm-up included. */
  readonly total_steps: number;
  /** The schedule ends at this share of `learning_rate`. */
  readonly min_learning_rate_ratio: number;
  /** Keep moments and float32 masters in host memory, and step there. Absent: no. Not on the CPU. */
  readonly offload?: boolean | undefined;
}

/**
 * What weights, activations and the KV cache are held in. Log-softmax, losses and the optimizer are float32 either way;
 * trained parameters of a bfloat16 model have a float32 master from the first update on.
 */
export type Dtype = "float32" | "bfloat16";

/**
 * What is repeated bit for bit (docs/determinism.md). `run`: a run with the same config on the same machine. With
 * `batch_invariant`, float32 only, also each completion in any company: its ids and log-probs depend neither on the others
 * in the batch nor on how the work is cut, and the log-probs recorded while sampling are the scored ones.
 */
export type Deterministic = "run" | "batch_invariant";

export interface EngineOptions {
  /** Folder in the Hugging Face layout: config.json and *.safetensors. */
  readonly model_path: string;
  /**
   * Weights of the reference, in the same layout; null takes the policy as it is opened. That shares all memory but what is
   * trained; with a new adapter, which changes nothing yet, it is the base with the adapter off.
   */
  readonly reference_path: string | null;
  /** Keep a reference at all: needed by `score(..., "reference")`. */
  readonly with_reference: boolean;
  /** Between scores, keep in host memory what it does not share with the policy. Absent: no. Not on the CPU. */
  readonly offload_reference?: boolean | undefined;
  readonly dtype: Dtype;
  /** Where weights lie and everything is computed; absent: cpu. */
  readonly device?: DeviceChoice | undefined;
  readonly image_processor: ImageProcessorSettings;
  readonly trainable: TrainableParts;
  /** In place of the language model's own weights, which stay frozen; trained if `train_language_model` is set. */
  readonly lora?: LoraOptions | null | undefined;
  readonly algorithm: AlgorithmOptions;
  readonly optimizer: OptimizerOptions;
  /** Completions per optimizer step, and tokens computed at once (whole groups are packed up to it). */
  readonly completions_per_update: number;
  readonly tokens_per_microbatch: number;
  /** Passes over one step's trajectories. */
  readonly update_epochs: number;
  readonly seed: number;
  /** CPU threads of this process; 0 takes all cores. */
  readonly threads: number;
  /** Over several ranks, hold moments, masters and summed gradients once in all: each rank its share. Absent: yes. */
  readonly shard_optimizer?: boolean | undefined;
  /**
   * Over several ranks, while an update runs, hold the decoder's weights once in all; with `shard_optimizer` and
   * `activation_checkpointing` only. Absent: no.
   */
  readonly shard_parameters?: boolean | undefined;
  /** Gradients that travel between ranks together, elements; they leave while the backward pass runs. Absent: 8,388,608. */
  readonly reduce_bucket_elements?: number | undefined;
  /** Keep only every block's input for the backward pass and compute the rest again: less memory, a third more work. */
  readonly activation_checkpointing: boolean;
  /** While sampling, keep the language model's weights once more in the layout that decoding is fastest with. */
  readonly pack_weights: boolean;
  readonly deterministic: Deterministic;
  /** Bytes of resized images and frozen vision features kept for reuse. */
  readonly image_cache_bytes: number;
}
