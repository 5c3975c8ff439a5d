import { z } from "zod";
import { trackersSchema } from "../trackers/registry.js";
import { healthSchema } from "./health.js";
import { loraSchema } from "./lora.js";
import { findProtocol, protocol_names } from "./protocols.js";

/** Blocks that `train` and `sft` share. Every default stands here and nowhere else. */

export const count = z.int().positive();
export const size = z.int().nonnegative();
const path = z.string().min(1);

export const dtypeSchema = z.enum(["float32", "bfloat16"]);
export type Dtype = z.infer<typeof dtypeSchema>;

export const deterministicSchema = z.enum(["run", "batch_invariant"]);

export const modelSchema = z.strictObject({
  /** Folder in the Hugging Face layout: config.json, *.safetensors, tokenizer and preprocessor files. */
  path,
  /**
   * Of weights, activations and KV cache: bfloat16 halves their memory, float32 is usually faster on a CPU. Trained
   * parameters have float32 masters either way, so training takes the less memory the more of the model is frozen.
   */
  dtype: dtypeSchema.default("float32"),
  train_vision_tower: z.boolean().default(false),
  train_connector: z.boolean().default(false),
  train_language_model: z.boolean().default(true),
  /** Train low-rank additions to the language model in place of its weights. */
  lora: loraSchema.nullable().default(null),
});

export const promptSchema = z.strictObject({
  system_prompt: z.string().nullable().default(null),
  /** Longer prompts are an error that names the sample. Image tokens count. */
  max_prompt_tokens: count.default(4096),
  /** Larger images (width x height, in pixels, as encoded) are an error; as many pixels, 3 bytes each, are decoded at once. */
  max_image_pixels: count.default(2 ** 27),
});

export type PromptConfig = z.infer<typeof promptSchema>;

export const samplingSchema = z.strictObject({
  /** Training needs sampled completions, so 0 (greedy) is not allowed here. */
  temperature: z.number().positive().default(1),
  /** 0 keeps every token. */
  top_k: size.default(0),
  /** 1 keeps every token. */
  top_p: z.number().positive().max(1).default(1),
  max_completion_tokens: count.default(1024),
  /** Completions decoded together. */
  max_concurrent_completions: count.default(64),
  /** Positions in one block of the KV cache. */
  kv_block_size: count.default(16),
});
export type SamplingConfig = z.infer<typeof samplingSchema>;

export const optimizerSchema = z
  .strictObject({
    learning_rate: z.number().positive(),
    beta1: z.number().nonnegative().lt(1).default(0.9),
    beta2: z.number().nonnegative().lt(1).default(0.95),
    epsilon: z.number().positive().default(1e-8),
    weight_decay: z.number().nonnegative().default(0),
    /** L2 norm over all gradients; null switches clipping off. */
    max_grad_norm: z.number().positive().nullable().default(1),
    schedule: z.enum(["constant", "linear", "cosine"]).default("cosine"),
    /** Optimizer steps of linear warm-up; give this or warmup_ratio. */
    warmup_steps: size.optional(),
    /** Share of all optimizer steps. */
    warmup_ratio: z.number().nonnegative().max(1).optional(),
    min_learning_rate_ratio: z.number().nonnegative().max(1).default(0),
    /**
     * Keep moments and float32 masters in host memory and step there: a device then holds weights and gradients only. Changes
     * speed and memory, not the result but for rounding; not with device: cpu, where everything is in host memory.
     */
    offload: z.boolean().default(false),
  })
  .refine((o) => o.warmup_steps === undefined || o.warmup_ratio === undefined, {
    path: ["warmup_ratio"],
    message: "give warmup_steps or warmup_ratio, not both",
  });
export type OptimizerConfig = z.infer<typeof optimizerSchema>;

export const evaluationSettingSchema = z.strictObject({
  /** How the table and the metrics call it; must be unique. */
  name: z.string().regex(/^[a-z0-9][a-z0-9_.-]*$/i, "letters, digits, '_', '.' and '-' only"),
  /** 0 is greedy. */
  temperature: z.number().nonnegative().default(0),
  top_k: size.default(0),
  top_p: z.number().positive().max(1).default(1),
  completions_per_prompt: count.default(1),
  /** Text the completion is made to start with; not sampled, but graded with it. */
  assistant_prefix: z.string().default(""),
});
export type EvaluationSetting = z.infer<typeof evaluationSettingSchema>;

const evaluateShape = z.strictObject({
  /**
   * validation, test and names of `datasets.tests`; validation or test is left out where it is not given. Choose by
   * validation, report on test.
   */
  splits: z.array(z.string()).default(["validation"]),
  /** Steps between evaluations; 0 evaluates only before and after training, unless every_epochs is given. */
  every_steps: size.default(0),
  /** Passes over the training set between evaluations, by the first step that completes one; may be a fraction. */
  every_epochs: z.number().positive().optional(),
  before_training: z.boolean().default(true),
  /** Items taken from the front of the split; null takes all. */
  max_items: count.nullable().default(null),
  /** A list, or the name of a protocol: paper. Settings with one assistant_prefix share a prompt's computation. */
  settings: z.preprocess(
    (value, context) => {
      if (typeof value !== "string") return value;
      const settings = findProtocol(value);
      if (settings === undefined)
        context.addIssue({ code: "custom", message: `"${value}" is no protocol; there is: ${protocol_names}` });
      return settings ?? [{ name: "greedy" }];
    },
    z
      .array(evaluationSettingSchema)
      .min(1)
      .default([evaluationSettingSchema.parse({ name: "greedy" })])
      .refine((list) => new Set(list.map((s) => s.name)).size === list.length, "two settings have the same name"),
  ),
});
export const evaluateSchema = evaluateShape.refine(
  ({ every_steps, every_epochs }) => every_steps === 0 || every_epochs === undefined,
  { path: ["every_epochs"], message: "give every_steps or every_epochs, not both" },
);
export type EvaluateConfig = z.infer<typeof evaluateSchema>;

export const checkpointSchema = z.strictObject({
  /** Steps between checkpoints; 0 writes only the last one. */
  every_steps: size.default(0),
  /** Older checkpoints are deleted, but for the best; 0 keeps all. */
  keep_last: size.default(2),
  /** Checkpoints kept for their evaluation, however old: those with the highest `best_by`. */
  keep_best: size.default(0),
  best_by: z
    .strictObject({
      split: z.enum(["validation", "test"]).default("validation"),
      /** One of evaluate.settings by name; null takes the first. */
      setting: z.string().nullable().default(null),
      /** Accuracy over all completions, or the share of items with a right one among k. */
      metric: z
        .string()
        .regex(/^(accuracy|pass@[1-9]\d*)$/, "accuracy or pass@k")
        .default("accuracy"),
    })
    .prefault({}),
});
export type CheckpointConfig = z.infer<typeof checkpointSchema>;

/** Keys at the top level of both commands. */
export const common = {
  seed: z.int().nonnegative().max(Number.MAX_SAFE_INTEGER).default(0),
  /** Steps of the run; give this or epochs. */
  steps: count.optional(),
  /** Passes over the training set; a last, partial step is rounded up and filled from the next pass. */
  epochs: z.number().positive().optional(),
  /** Where everything is written; null picks runs/<config name>-<time>. */
  run_folder: path.nullable().default(null),
  /** Where everything is computed. auto: on an NVIDIA device where the addon was built for one and finds one. */
  device: z.enum(["auto", "cpu", "cuda"]).default("auto"),
  /** CPU threads; 0 takes all cores. */
  threads: size.default(0),
  /** Keep a second copy of the language model's weights while sampling, in a layout that decodes faster. */
  pack_weights: z.boolean().default(true),
  /**
   * What is repeated bit for bit. run: this run, on the same machine. batch_invariant: also each completion in any batch,
   * and its log-probs in sampling, scoring and training alike; float32 only, somewhat slower.
   */
  deterministic: deterministicSchema.default("run"),
  /** Over several processes, each holds its share of moments, masters and summed gradients; false: each holds all. */
  shard_optimizer: z.boolean().default(true),
  /**
   * Over several processes, the decoder's weights are held once in all while an update runs: each block's are gathered when
   * it computes. Needs activation_checkpointing and shard_optimizer. Less memory, more transfers; sampling needs whole weights.
   */
  shard_parameters: z.boolean().default(false),
  /** Keep only every block's input for the backward pass: less memory, a third more work. Does not change the result. */
  activation_checkpointing: z.boolean().default(false),
  /** Bytes of resized images and vision features kept between steps. */
  image_cache_bytes: size.default(2 ** 30),
  /**
   * Prepare the images of the next step while the engine works on this one. null: where that is not on the CPU, whose cores the
   * engine needs itself. Does not change the result.
   */
  prefetch_images: z.boolean().nullable().default(null),
  /** Start even if the predicted peak of memory exceeds what is available; see `--dry-run` for the prediction. */
  ignore_memory_plan: z.boolean().default(false),
  model: modelSchema,
  prompt: promptSchema.prefault({}),
  evaluate: evaluateSchema.prefault({}),
  checkpoint: checkpointSchema.prefault({}),
  health: healthSchema.prefault({}),
  /** Who else hears of steps and evaluations: tensorboard, csv, or modules of one's own; docs/trackers.md. */
  trackers: trackersSchema,
};
