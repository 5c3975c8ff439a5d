import { join } from "node:path";
import { type BatchArithmetic, batchArithmetic } from "../config/arithmetic.js";
import { savedParts } from "../config/lora.js";
import type { SftConfig, TrainConfig } from "../config/schema.js";
import { splitDataset } from "../config/splits.js";
import type { ByteProgress, Engine } from "../engine/engine.js";
import { openEngine } from "../engine/native-engine.js";
import { type HealthMonitor, healthMonitor } from "../health/monitor.js";
import type { HubOptions } from "../hub/options.js";
import { alone, type Ranks, together } from "../ranks/ranks.js";
import type { RunRecord } from "../reports/run-folder.js";
import { loadProcessor, type Processor } from "./data/processor.js";
import { type IndexedSamples, PromptStream, type SampleSource, type StreamCursor } from "./data/stream.js";
import { type Drawn, draw } from "./draw.js";
import { evaluator } from "./evaluator.js";
import { engineOptions, type Needs } from "./engine-options.js";
import type { Loop } from "./loop.js";
import { isIndexed, openSplits, openTrainingSet, stepsBetweenEvaluations, withPinnedData } from "./open-data.js";
import { checkShares, openRecord } from "./open-record.js";
import { checkAdapterFolder } from "./adapter-folder.js";
import { interruptible } from "./interruptible.js";
import { locateModels } from "./model-folder.js";
import { planMemory } from "./plan-memory.js";
import { openAhead } from "./prefetch.js";
import {
  checkFirstCheckpoint,
  checkpointBytes,
  type ProcessorFiles,
  readProcessorFiles,
  saveCheckpoint,
  saveShare,
} from "./save.js";
import { scoreBy } from "./score.js";

export interface RunOptions {
  /** Go on from the run folder's latest checkpoint. */
  readonly resume: boolean;
  /** What a person types to go on after an interrupt. */
  readonly command: string;
  /** Where relative dataset paths start. */
  readonly base_folder: string;
  /** Training samples in place of `datasets.train`. */
  readonly samples?: SampleSource | undefined;
  /** Of models and datasets that are named on the hub. */
  readonly hub?: HubOptions | undefined;
  /** Hears of the weights being read. */
  readonly on_loading?: ByteProgress | undefined;
  /** The processes that train together; absent: this one alone. */
  readonly ranks?: Ranks | undefined;
}

/** What both kinds of training hold while they run. Closing it closes the engine and the run folder. */
export interface OpenRun extends AsyncDisposable {
  readonly ranks: Ranks;
  readonly engine: Engine;
  readonly processor: Processor;
  readonly arithmetic: BatchArithmetic;
  readonly num_items: number | undefined;
  readonly max_consecutive_skips: number;
  readonly loop: Omit<Loop, "step">;
  /** `count` prompts; without it, those of one step. */
  readonly draw: (signal: AbortSignal, count?: number) => Promise<Drawn | undefined>;
}

/**
 * Opens what a run needs, cheap things first, so that a mistake shows before the model is loaded. What was opened is
 * closed again if something fails; a run folder made for it disappears.
 */
export async function openRun(
  given: TrainConfig | SftConfig,
  unlocated: Needs,
  options: RunOptions,
  signal: AbortSignal,
): Promise<OpenRun> {
  const { base_folder, ranks = alone } = options;
  const hub = { signal, ...options.hub };
  const { config, pinned } = await locateModels(given, hub);
  const needs = { ...unlocated, reference_path: "reference" in config ? config.reference.path : null };
  if (config.model.lora?.path != null) await checkAdapterFolder(config.model.lora.path);
  const processor = await loadProcessor(config.model.path);
  const files = await readProcessorFiles(processor, config.model.path);
  const source = options.samples ?? (await openTrainingSet(config.datasets.train, { base_folder, hub }));
  const num_items = isIndexed(source) ? source.length : undefined;
  const arithmetic = batchArithmetic(config, num_items);
  checkShares(config, ranks);
  const splits = await openSplits(config, { base_folder, hub });
  (await planMemory(config, processor, isIndexed(source) ? source : undefined, ranks)).check();
  const record = await openRecord(ranks, withPinnedData(pinned, source), options.resume, num_items);
  let opened: Engine | undefined;
  try {
    const opening = { on_progress: options.on_loading, signal, ranks: ranks.handle };
    const engine = await interruptible(signal, options, () =>
      openEngine(engineOptions(config, needs, processor, arithmetic, ranks.local_world_size), opening),
    );
    opened = engine;
    if (record.resumed !== undefined) {
      const { folder } = record.resumed;
      await interruptible(signal, options, () => engine.loadState(join(folder, "state"), { signal }));
    }
    await together(ranks, () => {}); // from here on they interrupt and fail together
    await checkFirstCheckpoint(engine, files, savedParts(config.model), record);
    const cursor = record.resumed?.cursor.data as StreamCursor | undefined;
    const stream = new PromptStream(source, { seed: config.seed, cursor });
    const health = healthMonitor(config.health, await record.history());
    const made = { ranks, health, processor, files, arithmetic, num_items, splits, record, engine, stream, signal };
    return assembleRun({ config, needs, options, ...made });
  } catch (error) {
    await closeBoth(opened, record);
    throw error;
  }
}

/** The folder's lock is given back whatever happens to the engine. */
async function closeBoth(engine: Engine | undefined, record: RunRecord): Promise<void> {
  try {
    await engine?.close();
  } finally {
    await record[Symbol.asyncDispose]();
  }
}

interface Parts {
  readonly ranks: Ranks;
  readonly config: TrainConfig | SftConfig;
  readonly needs: Needs;
  readonly options: RunOptions;
  readonly processor: Processor;
  readonly files: ProcessorFiles;
  readonly arithmetic: BatchArithmetic;
  readonly num_items: number | undefined;
  readonly splits: Readonly<Record<string, IndexedSamples>>;
  readonly record: RunRecord;
  readonly health: HealthMonitor;
  readonly engine: Engine;
  readonly stream: PromptStream;
  readonly signal: AbortSignal;
}

function assembleRun(parts: Parts): OpenRun {
  const {
    ranks,
    config,
    needs,
    options,
    processor,
    files,
    arithmetic,
    num_items,
    splits,
    record,
    health,
    engine,
    stream,
  } = parts;
  const { max_completion_tokens, max_concurrent_completions, kv_block_size } = needs;
  const known_images = new Map<string, string>();
  const ahead = openAhead(config, engine, processor, arithmetic, known_images, parts.signal);
  const prompting = {
    system_prompt: config.prompt.system_prompt ?? undefined,
    max_prompt_tokens: config.prompt.max_prompt_tokens,
    max_image_pixels: config.prompt.max_image_pixels,
    ...{ known_images, ranks, ahead },
  };
  return {
    ranks,
    engine,
    processor,
    arithmetic,
    num_items,
    max_consecutive_skips: config.health.non_finite === "skip" ? config.health.max_consecutive_skips : 0,
    draw: (signal, count = config.prompts_per_step) => draw(engine, processor, stream, count, { ...prompting, signal }),
    loop: {
      steps: arithmetic.steps,
      ranks,
      record,
      num_parameters: engine.model.num_parameters,
      num_trainable_parameters: engine.model.num_trainable_parameters,
      evaluate_every_steps: config.evaluate.every_steps,
      evaluate_every_passes: stepsBetweenEvaluations(config, num_items),
      checkpoint_at_evaluations: config.evaluate.every_epochs !== undefined && config.checkpoint.keep_best > 0,
      evaluate_before_training: config.evaluate.before_training,
      checkpoint_every_steps: config.checkpoint.every_steps,
      splits: Object.keys(splits),
      datasets: Object.fromEntries(
        Object.keys(splits).map((split) => [split, splitDataset(config.datasets, split)?.name ?? ""]),
      ),
      evaluate: evaluator({
        ...{ engine, ranks, processor, config, splits, known_images },
        ...{ max_completion_tokens, max_concurrent_completions, kv_block_size },
      }),
      dataCursor: () => stream.cursor,
      health,
      score: scoreBy(config),
      selects_on: config.checkpoint.best_by.split,
      checkpointBytes: async () => {
        const { optimizer_bytes } = await engine.memory(); // of each rank about the same
        const ranks_share = config.shard_optimizer ? ranks.world_size : 1;
        return checkpointBytes(engine, files, savedParts(config.model), ranks_share * optimizer_bytes);
      },
      saves: savedParts(config.model),
      save: (folder) =>
        ranks.rank === 0 ? saveCheckpoint(engine, files, folder, savedParts(config.model)) : saveShare(engine, folder),
      command: options.command,
    },
    [Symbol.asyncDispose]: async () => {
      try {
        await ahead?.images[Symbol.asyncDispose]();
        await stream[Symbol.asyncDispose]();
      } finally {
        await closeBoth(engine, record);
      }
    },
  };
}
