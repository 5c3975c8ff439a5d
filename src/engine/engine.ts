import type { PromptBatch } from "../batches/prompt.js";
import type { RolloutBatch, Scores } from "../batches/rollout.js";
import type { TrajectoryBatch } from "../batches/trajectory.js";
import type { Divergence } from "../errors.js";
import type { PreparedHandle, RanksHandle } from "./addon.js";
import type { Dtype } from "./options.js";

export type * from "./options.js";

/** A decoded image: `rgb` is uint8 [height, width, 3]; `id` is the content hash of the file's bytes. */
export interface DecodedImage {
  readonly id: string;
  readonly rgb: Uint8Array;
  readonly height: number;
  readonly width: number;
}

/** An image resized ahead, for one engine; `addPrepared` gives it over, once. */
export interface PreparedImage {
  readonly grid: ImageGrid;
  readonly prepared: PreparedHandle;
}

/** Where an image's tokens come from: patches (t, h, w) after resizing, and the number of image tokens. */
export interface ImageGrid {
  readonly id: string;
  readonly image_grid_thw: readonly [number, number, number];
  readonly num_tokens: number;
}

/** What the caller needs to know about the loaded model. */
export interface ModelInfo {
  readonly model_type: string;
  readonly dtype: Dtype;
  readonly num_parameters: number;
  readonly num_trainable_parameters: number;
  readonly vocab_size: number;
  readonly max_position_embeddings: number;
  /** Ids of the tokens that stand for pixels; never sampled. */
  readonly image_token_id: number;
  readonly video_token_id: number;
}

/** How some of a prompt's completions are drawn. */
export interface DrawSetting {
  readonly temperature: number;
  readonly top_k: number;
  readonly top_p: number;
  readonly completions_per_prompt: number;
}

export interface SamplingOptions {
  /** 0 is greedy (log-probs are then those of temperature 1). */
  readonly temperature: number;
  /** Keep the k most likely tokens; 0 keeps all. */
  readonly top_k: number;
  /** Keep the smallest set of tokens whose probability reaches p; 1 keeps all. */
  readonly top_p: number;
  /**
   * Several ways to draw one prompt's completions, in place of the three above and in sample order; the prompt is computed
   * once for all. Random keys count samples from 0 in each setting, so that each draws what it would draw alone. Whoever
   * adds prompts asks for the sum of their completions_per_prompt.
   */
  readonly settings?: readonly DrawSetting[] | undefined;
  readonly max_completion_tokens: number;
  /** Sampling any of these ends the completion; the token is kept. */
  readonly stop_token_ids: readonly number[];
  /** With the prompt's id, the sample's index and the position: the key of every random draw. */
  readonly seed: number;
  readonly step: number;
  /** Completions decoded together; free slots are refilled at once. */
  readonly max_concurrent_completions: number;
  /** Positions in one block of the paged KV cache. */
  readonly kv_block_size: number;
  /** Yield after every decode step (`token_ids` so far, `finish_reason` null). */
  readonly stream: boolean;
}

export type FinishReason = "stop" | "length";

/** One completion: all its tokens so far and their log-probabilities (nats, temperature-scaled, full vocabulary). */
export interface Completion {
  readonly prompt_id: number;
  readonly sample_index: number;
  readonly token_ids: Int32Array;
  readonly rollout_logprobs: Float32Array;
  /** null while it is still being sampled (only with `stream`). */
  readonly finish_reason: FinishReason | null;
}

export interface Cancellable {
  readonly signal?: AbortSignal | undefined;
}

export interface OpenOptions extends Cancellable {
  /** Bytes of weights read so far, of all; starts again for a reference of its own. */
  readonly on_progress?: ByteProgress | undefined;
  /** Of connectRanks: all of them open the same model and make the same updates in the same order. Absent: one process. */
  readonly ranks?: RanksHandle | null | undefined;
}
export type ByteProgress = (done: number, total: number) => void;

/**
 * Samples completions while the caller grades those already finished. Iterate to receive completions as
 * they finish (order of arrival); `finish` returns all of them in (prompt, sample) order.
 */
export interface RolloutSession extends AsyncDisposable, AsyncIterable<Completion> {
  /** Queues prompts; may be called again while iterating. Rows become usable in order. */
  add(prompts: PromptBatch, completions_per_prompt: number): Promise<void>;
  /** Samples whatever is left, frees the KV cache and returns the batch. */
  finish(): Promise<RolloutBatch>;
  /** Undefined until `finish` has returned. */
  readonly timings: RolloutTimings | undefined;
  /**
   * How far, as a probability after filters, the random number of a draw came to an end of its token's interval: no
   * other token was nearer. The smallest over all sampled tokens; 1 where all are greedy. Undefined until `finish` has returned.
   */
  readonly sampling_margin_min: number | undefined;
}

/** Wall-clock time inside the engine, which is all of a rollout but the waits between calls. */
export interface RolloutTimings {
  /** Image features: patches, vision tower, connector. */
  readonly vision_seconds: number;
  /** Prompts, image features excluded, up to the logits of their last tokens. */
  readonly prefill_seconds: number;
  /** Decode steps up to their logits. */
  readonly decode_seconds: number;
  /** Draws from logits. */
  readonly sampling_seconds: number;
  /** Prompts computed: each once, however many completions it has. */
  readonly prefilled_prompts: number;
  /** Images whose features were computed; those kept from before are not. */
  readonly vision_images: number;
}

/** Rewards of one rollout batch, row by row. `breakdown` holds the parts before weights. */
export interface Rewards {
  readonly reward: Float32Array;
  readonly breakdown: Readonly<Record<string, Float32Array>>;
}

export interface PolicyScores {
  /** Old log-probs; absent: those recorded while sampling. */
  readonly policy?: Scores | undefined;
  readonly reference?: Scores | undefined;
}

/** Means over the completion tokens of one `update` call unless said otherwise. */
export interface UpdateStats {
  readonly loss: number;
  readonly policy_loss: number;
  /** k3 estimate of KL(policy || reference), nats per token. */
  readonly kl_reference: number;
  /** k3 estimate of KL(old policy || policy), nats per token. */
  readonly kl_old_policy: number;
  /** Shares of tokens whose ratio was clipped: at either bound, at the lower, at the upper, at the dual one. */
  readonly clip_fraction: number;
  readonly clip_fraction_low: number;
  readonly clip_fraction_high: number;
  readonly dual_clip_fraction: number;
  /** Entropy of the full next-token distribution, nats per token. */
  readonly entropy: number;
  readonly ratio_max: number;
  /** L2 norm over all gradients before clipping, mean over the optimizer steps. */
  readonly grad_norm: number;
  readonly learning_rate: number;
  /** Optimizer steps since the engine's first, after this call. */
  readonly optimizer_step: number;
  /** Log-ratios clamped to +-log_ratio_clamp before exp. */
  readonly clamped_log_ratios: number;
  /** Minibatches left out because their loss or a gradient is not finite, and what each was like. */
  readonly skipped_updates: number;
  readonly divergences: readonly Divergence[];
  /** Of the importance correction's weights before the cap, tokens or completions by its level; absent without one. */
  readonly importance_weight_mean?: number;
  readonly importance_weight_max?: number;
  /** Share of them at the cap, or masked. */
  readonly importance_capped?: number;
  /** (sum of weights)^2 / (their number x sum of squares): 1 where sampler and trainer agree. */
  readonly effective_sample_size?: number;
  /** Rows left out: their group's advantages are all zero. */
  readonly skipped_completions: number;
  readonly completion_tokens: number;
  /** Tokens computed, prompts counted once per group and microbatch. */
  readonly computed_tokens: number;
  /** Wall-clock time of the microbatches' forward passes (image features included) and losses, of backward, of optimizer steps. */
  readonly forward_seconds: number;
  readonly backward_seconds: number;
  readonly optimizer_seconds: number;
  /** Waiting for the other ranks' gradients, transfer included. */
  readonly reduce_seconds: number;
}

export interface MemoryUse {
  readonly weights_bytes: number;
  readonly reference_bytes: number;
  /** Moments, and the float32 masters of a bfloat16 model. */
  readonly optimizer_bytes: number;
  readonly gradient_bytes: number;
  readonly kv_cache_bytes: number;
  readonly image_cache_bytes: number;
  /** Resident set of the process, now and at its highest. */
  readonly rss_bytes: number;
  readonly peak_rss_bytes: number;
  /** What tensors hold on an NVIDIA device, now and at its highest; 0 on the CPU. */
  readonly device_bytes: number;
  readonly peak_device_bytes: number;
}

export interface UpdateOptions extends Cancellable {
  /** The one that `rollout_logprobs` were recorded at; 1 by default. */
  readonly temperature?: number;
  /**
   * Minibatches in a row, counted over calls, that are left out where their loss or a gradient is not finite; one more
   * throws. What is left out changes no weight, master or moment; the schedule goes on. 0 by default.
   */
  readonly max_consecutive_skips?: number;
  /**
   * [rows] 1 for the rows that this rank computes, those of one prompt alike; absent: all. Every rank is given the whole batch;
   * gradients and statistics are summed over ranks.
   */
  readonly own_rows?: Uint8Array | null | undefined;
}

export type GradientOptions = Pick<UpdateOptions, "temperature" | "own_rows">;

/** Named intermediate tensors of one forward pass, for agreement tests and debugging. float32, row-major. */
export type Activations = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

/**
 * One copy of the weights that samples and trains. Calls queue in order on the engine's own thread;
 * `close` waits for the running one. Aborting a signal rejects with the signal's reason between decode
 * steps or microbatches (in `update`: between optimizer steps); an optimizer step is never left half done.
 */
export interface Engine extends AsyncDisposable {
  readonly model: ModelInfo;

  /** Resizes and keeps images, by id; an id already held is not computed again. Returns grids in the order given. */
  addImages(images: readonly DecodedImage[]): Promise<readonly ImageGrid[]>;
  /**
   * The same beside what the engine does, on a thread of its own, for `addPrepared`. `cut`: into patches as well, which take four
   * bytes a value until the image's features are computed.
   */
  prepareImages(images: readonly DecodedImage[], cut: boolean): Promise<readonly PreparedImage[]>;
  addPrepared(images: readonly PreparedImage[]): Promise<void>;
  /** The grid of a held image, or undefined. */
  imageGrid(id: string): ImageGrid | undefined;
  /** Drops the least recently added images not in `keep` until the cache is within `image_cache_bytes`. */
  pruneImages(keep: readonly string[]): Promise<void>;

  rollout(sampling: SamplingOptions, options?: Cancellable): RolloutSession;
  /** Collects one rollout: `completions_per_prompt` completions of every prompt. */
  generate(
    prompts: PromptBatch,
    completions_per_prompt: number,
    sampling: SamplingOptions,
    options?: Cancellable,
  ): Promise<RolloutBatch>;

  /** Log-probs (at `temperature`) and entropy of every completion token under the policy or the reference. */
  score(
    rollouts: RolloutBatch,
    which: "policy" | "reference",
    options?: Cancellable & { readonly temperature?: number },
  ): Promise<Scores>;

  advantages(rollouts: RolloutBatch, rewards: Rewards, scores: PolicyScores): Promise<TrajectoryBatch>;

  /**
   * @throws DivergenceError before the optimizer step whose loss or gradient is not finite; those before it were taken
   */
  update(trajectories: TrajectoryBatch, options?: UpdateOptions): Promise<UpdateStats>;

  /**
   * In which order the next update takes the groups of a batch: minibatches are runs of it. By group, from 0. Or the order of one
   * that comes `ahead` optimizer steps later.
   */
  updateOrder(groups: number, ahead?: number): Promise<Int32Array>;

  /**
   * Writes model.safetensors (in the engine's dtype, an adapter merged in) and config.json into an existing folder; tokenizer
   * files are the caller's.
   */
  saveModel(folder: string): Promise<void>;
  /** Writes adapter_config.json and adapter_model.safetensors, as PEFT reads them, into an existing folder. */
  saveAdapter(folder: string): Promise<void>;
  /** Writes weights (with an adapter: only what is trained), their masters, moments, schedule position and counters into an existing folder. */
  saveState(folder: string): Promise<void>;
  /**
   * Restores what `saveState` wrote, bit for bit; a float32 engine takes the masters of bfloat16 state. Aborted half way,
   * it leaves weights that are neither the old nor the new.
   */
  loadState(folder: string, options?: Cancellable): Promise<void>;

  memory(): Promise<MemoryUse>;
  /** Logits and other named activations of one forward pass over each prompt alone. */
  inspect(prompts: PromptBatch): Promise<readonly Activations[]>;
  /** Gradients of the loss over all rows as one minibatch, by checkpoint name; nothing is updated. */
  inspectGradients(trajectories: TrajectoryBatch, options?: GradientOptions): Promise<Activations>;
  close(): Promise<void>;
}
