import { algorithmSchema } from "../config/algorithms.js";
import { defaultThreads } from "../engine/addon.js";
import type { DeviceChoice } from "../engine/device.js";
import type { Deterministic, Dtype, EngineOptions, LoraOptions } from "../engine/engine.js";
import { openEngine } from "../engine/native-engine.js";
import { loadProcessor, type Processor } from "../pipeline/data/processor.js";
import { locateModel } from "../hub/locate.js";
import { engineAlgorithm } from "../pipeline/engine-algorithm.js";
import { type Cost, type CountedPhase, type Group, phaseCosts, type RowsAtOnce } from "./flops.js";
import { measureLimits } from "./limits.js";
import { type BenchResult, summarize } from "./result.js";
import { type ModelShapes, readShapes } from "./shapes.js";
import { runStep, type StepResult, type StepWork } from "./step.js";

export interface StepOptions extends StepWork {
  readonly model_path: string;
  /** Steps that are timed, after one that is not. */
  readonly steps: number;
  readonly trainable: "all" | "language_model";
  readonly tokens_per_microbatch: number;
  readonly dtype: Dtype;
  readonly device: DeviceChoice;
  readonly deterministic: Deterministic;
  readonly activation_checkpointing: boolean;
  /** Trained in place of the language model's weights; operations are counted as if those were trained. */
  readonly lora?: LoraOptions | undefined;
  /** 0 takes all cores. */
  readonly threads: number;
}

export interface BenchOptions extends StepOptions {
  /** Time given to each measurement of a limit, seconds. */
  readonly limit_seconds: number;
}

/** Counts for a bar: steps first, then measurements of limits. */
export interface BenchProgress {
  readonly unit: "steps" | "limits";
  readonly done: number;
  readonly total: number;
}

export interface MeasuredSteps extends Omit<BenchResult, "limits" | "phases"> {
  readonly groups: readonly Group[];
  readonly shapes: ModelShapes;
  /** Useful operations of a step, by phase. */
  readonly costs: Readonly<Record<CountedPhase, Cost>>;
}

/**
 * Times steps of reinforcement learning on made-up images and prompts, then what the machine reaches on the same matrix
 * products.
 */
export async function bench(
  options: BenchOptions,
  signal: AbortSignal,
  onProgress: (progress: BenchProgress) => void,
): Promise<BenchResult> {
  const { groups, shapes, costs, ...measured } = await measureSteps(options, signal, onProgress);
  const limits = await measureLimits(Object.values(costs), {
    ...{ device: options.device, dtype: options.dtype, threads: measured.threads, signal },
    seconds: options.limit_seconds,
    onProgress: (done, total) => onProgress({ unit: "limits", done, total }),
  });
  const { with_reference, dtype } = options;
  const phases = summarize({ times: measured.steps, groups, costs, limits, shapes, dtype, with_reference });
  return { ...measured, limits, phases };
}

/** The first step warms up and is left out. */
export async function measureSteps(
  given: StepOptions,
  signal: AbortSignal,
  onProgress: (progress: BenchProgress) => void,
): Promise<MeasuredSteps> {
  const { path: model_path } = await locateModel(given.model_path, { signal });
  const options = { ...given, model_path };
  const shapes = await readShapes(options.model_path);
  const threads = options.threads > 0 ? options.threads : defaultThreads();
  const begin = performance.now();
  const processor = await loadProcessor(options.model_path);
  const engine = await openEngine(engineOptions(options, processor, threads));
  const load_seconds = (performance.now() - begin) / 1000;
  try {
    const measured: StepResult[] = [];
    for (let index = 0; index <= options.steps; index++) {
      onProgress({ unit: "steps", done: index, total: options.steps + 1 });
      measured.push(await runStep(engine, processor, options, index, signal));
    }
    const { prompt_tokens, grids } = measured.at(-1)!;
    const groups = grids.map((images): Group => ({
      ...{ prompt_tokens, completion_tokens: options.new_tokens, num_completions: options.completions },
      image_tokens: images.reduce((total, grid) => total + grid.num_tokens, 0),
      grids: images.map(({ image_grid_thw: [, height, width] }) => [height, width]),
    }));
    const { num_parameters, num_trainable_parameters } = engine.model;
    const { peak_rss_bytes, peak_device_bytes } = await engine.memory();
    return {
      ...{
        num_parameters,
        num_trainable_parameters,
        threads,
        load_seconds,
        peak_rss_bytes,
        peak_device_bytes,
        prompt_tokens,
      },
      ...{ image_tokens: groups[0]!.image_tokens, groups, shapes, steps: measured.slice(1).map((step) => step.times) },
      costs: phaseCosts(shapes, groups, rowsAtOnce(shapes, groups, options), options.trainable === "all"),
    };
  } finally {
    await engine.close();
  }
}

/** As the engine packs them: whole groups up to the budget, larger ones cut; a frozen tower sees one image at a time. */
function rowsAtOnce(shapes: ModelShapes, groups: readonly Group[], options: StepOptions): RowsAtOnce {
  const [group] = groups as [Group];
  const fed = group.prompt_tokens + group.num_completions * (group.completion_tokens - 1);
  const together = Math.min(groups.length, Math.max(1, Math.floor(options.tokens_per_microbatch / fed)));
  const images = options.trainable === "all" ? group.grids.length * together : Math.min(1, group.grids.length);
  const [height, width] = group.grids[0] ?? [0, 0];
  const predicted = together * group.num_completions * group.completion_tokens;
  return {
    patches: images * height * width,
    image_tokens: (images * group.image_tokens) / Math.max(1, group.grids.length),
    prefill_tokens: Math.min(groups.length * group.prompt_tokens, prefill_limit),
    decode_slots: groups.length * group.num_completions,
    microbatch_tokens: Math.min(fed * together, Math.max(options.tokens_per_microbatch, group.prompt_tokens)),
    head: Math.min(predicted, Math.max(fewest_logits_rows, Math.floor(logits_at_once / shapes.head.outputs))),
  };
}

/** As native/pipeline/rollout/session.h and native/kernels/lm_head_logprobs.cpp have them. */
const prefill_limit = 8192;
const logits_at_once = 2 ** 24;
const fewest_logits_rows = 128;

function engineOptions(options: StepOptions, processor: Processor, threads: number): EngineOptions {
  const all = options.trainable === "all";
  const { prompts, completions, new_tokens, with_reference, seed, tokens_per_microbatch } = options;
  return {
    ...{ model_path: options.model_path, reference_path: null, with_reference },
    image_processor: processor.image_processor,
    trainable: { train_vision_tower: all, train_connector: all, train_language_model: true },
    lora: options.lora,
    algorithm: engineAlgorithm(
      algorithmSchema.parse({
        ...{ name: "grpo", loss_aggregation: "token_mean" },
        kl_loss_coefficient: with_reference ? 0.01 : 0,
      }),
      new_tokens,
    ),
    optimizer: {
      ...{ learning_rate: 1e-6, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0, max_grad_norm: 1 },
      ...{ schedule: "constant", warmup_steps: 0, total_steps: options.steps + 1, min_learning_rate_ratio: 0 },
    },
    ...{ completions_per_update: prompts * completions, tokens_per_microbatch, update_epochs: 1 },
    ...{
      seed,
      threads,
      image_cache_bytes: 2 ** 28,
      dtype: options.dtype,
      device: options.device,
      activation_checkpointing: options.activation_checkpointing,
      pack_weights: true,
      deterministic: options.deterministic,
    },
  };
}
