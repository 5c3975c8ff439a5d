import { needsReference } from "../config/algorithms.js";
import { availableMemory } from "../config/available-memory.js";
import { adapterSizes, type AdapterSizes } from "../config/lora.js";
import { type Available, checkFits } from "../config/memory-fit.js";
import { type MemoryPlan, type MemoryQuestion, planOf, type PromptSizes } from "../config/memory-plan.js";
import { readModelSizes } from "../config/model-sizes.js";
import type { SftConfig, TrainConfig } from "../config/schema.js";
import { splitDataset } from "../config/splits.js";
import { listValues, stringLists } from "../batches/columns.js";
import { loadAddon } from "../engine/addon.js";
import { engineDevice } from "../engine/device.js";
import type { DecodedImage, ImageGrid } from "../engine/engine.js";
import { smartResize } from "../engine/smart-resize.js";
import { alone, type Ranks } from "../ranks/ranks.js";
import type { Processor } from "./data/processor.js";
import { buildPrompts } from "./data/prompts.js";
import { prefetches } from "./prefetch.js";
import type { IndexedSamples } from "./data/stream.js";

/** Samples whose prompts are made to see how long prompts are, spread over the training set. */
const samples_looked_at = 16;
/** Prompts of a source that cannot be looked into are taken to be so long, tokens. */
const unknown_prompt_tokens = 1024;
/** A guess: nothing has been measured on a device. */
const cuda_context_bytes = 2 ** 30;

export interface Planned {
  readonly plan: MemoryPlan;
  /** @throws UserError DEVICE_OUT_OF_MEMORY if the plan does not fit, unless the config ignores it */
  readonly check: () => void;
}

/** Bytes that this process takes already. */
const resident = (): number => process.memoryUsage.rss();

/** Predicts the peak memory of each process of a run from its config, its model's files and some of its samples. */
export async function planMemory(
  config: TrainConfig | SftConfig,
  processor: Processor,
  samples: IndexedSamples | undefined,
  ranks: Pick<Ranks, "world_size" | "local_world_size"> = alone,
): Promise<Planned> {
  const sizes = await readModelSizes(config.model.path);
  const addon = loadAddon(); // so that what libtorch takes is seen
  const offload = offloadOf(config);
  const offloads = offload.offload_optimizer || offload.offload_reference;
  const device_bytes = addon.freeDeviceBytes(engineDevice({ ...config, offloads }));
  const { lora } = config.model;
  const adapter = lora === null ? undefined : await adapterSizes(sizes, lora);
  const prompt_sizes = await promptSizes(config, processor, samples);
  const on_host = questionOf(config, prompt_sizes, adapter, ranks.world_size);
  const question = device_bytes === null ? on_host : onDevice({ ...on_host, ...offload });
  const available = (): Available => {
    const of_host = availableMemory() / ranks.local_world_size;
    return device_bytes === null ? { bytes: of_host + resident() } : { bytes: device_bytes, host_bytes: of_host };
  };
  const plan = planOf(sizes, question);
  return {
    plan,
    check: () => {
      if (!config.ignore_memory_plan) checkFits(sizes, question, plan, available());
    },
  };
}

/** What of it lies on an NVIDIA device: neither Node nor images, but CUDA's context and workspaces. */
const onDevice = (question: MemoryQuestion): MemoryQuestion => ({
  ...question,
  ...{ on_device: true, process_bytes: cuda_context_bytes, image_cache_bytes: 0, pack_weights: false },
});

const offloadOf = (config: TrainConfig | SftConfig) => ({
  offload_optimizer: config.optimizer.offload,
  offload_reference: "reference" in config && config.reference.offload && needsReference(config.algorithm),
});

function questionOf(
  config: TrainConfig | SftConfig,
  prompts: PromptSizes,
  adapter: AdapterSizes | undefined,
  world_size: number,
): MemoryQuestion {
  const share = (count: number): number => Math.ceil(count / world_size);
  const shared = {
    process_bytes: resident(),
    ...{ model: config.model, adapter, prompts, prompts_per_step: share(config.prompts_per_step) },
    ...{ optimizer_shares: config.shard_optimizer ? world_size : 1, prefetch_images: prefetches(config) },
    parameter_shares: config.shard_parameters ? world_size : 1,
    ...{ tokens_per_microbatch: config.tokens_per_microbatch, image_cache_bytes: config.image_cache_bytes },
    ...{ activation_checkpointing: config.activation_checkpointing, pack_weights: config.pack_weights },
  };
  if ("sampling" in config)
    return {
      ...shared,
      ...{ with_reference: needsReference(config.algorithm), reference_path: config.reference.path },
      ...{ samples: true, scores: true },
      completions_per_prompt: config.completions_per_prompt,
      completions_per_update: share(config.completions_per_update),
      max_completion_tokens: config.sampling.max_completion_tokens,
      max_concurrent_completions: config.sampling.max_concurrent_completions,
      kv_block_size: config.sampling.kv_block_size,
    };
  const { evaluate, datasets } = config;
  return {
    ...shared,
    ...{ with_reference: false, reference_path: null, scores: false, completions_per_prompt: 1, kv_block_size: 16 },
    samples: evaluate.splits.some((split) => splitDataset(datasets, split) !== null),
    completions_per_update: share(config.completions_per_update ?? config.prompts_per_step),
    max_completion_tokens: config.max_completion_tokens,
    max_concurrent_completions: config.max_concurrent_completions,
  };
}

/** The longest prompt, and the most patches, of samples spread over the set. */
async function promptSizes(
  config: TrainConfig | SftConfig,
  processor: Processor,
  samples: IndexedSamples | undefined,
): Promise<PromptSizes> {
  const { max_prompt_tokens, system_prompt } = config.prompt;
  if (samples === undefined || samples.length === 0) {
    const tokens = Math.min(max_prompt_tokens, unknown_prompt_tokens);
    const how = `the samples are not known before the run: ${tokens} taken for granted, max_prompt_tokens ${max_prompt_tokens} allowed`;
    return { tokens, patches: 0, how, num_images: 0, images_per_prompt: 0 };
  }
  const count = Math.min(samples_looked_at, samples.length);
  const chosen = await Promise.all(
    Array.from({ length: count }, async (_, i) => ({
      prompt_id: i,
      sample: await samples.get(Math.floor((i * samples.length) / count)),
    })),
  );
  const images = sizingEngine(processor);
  const options = { system_prompt: system_prompt ?? undefined, max_prompt_tokens };
  const prompts = await buildPrompts(images, processor, chosen, options);
  const { offsets } = listValues<Int32Array>(prompts, "token_ids");
  const ids = stringLists(prompts, "image_ids");
  const patchesOf = (row: readonly string[]): number =>
    row.reduce((sum, id) => sum + images.imageGrid(id)!.image_grid_thw.reduce((a, b) => a * b), 0);
  const images_per_prompt = Math.max(...ids.map((row) => row.length));
  return {
    tokens: Math.max(...ids.map((_, row) => offsets[row + 1]! - offsets[row]!)),
    patches: Math.max(...ids.map(patchesOf)),
    how: `the longest of ${count} samples; max_prompt_tokens allows ${max_prompt_tokens}`,
    num_images: images_per_prompt * samples.length,
    images_per_prompt,
  };
}

/** Answers what an engine would about the sizes of images, without resizing them. */
function sizingEngine({ image_processor }: Processor) {
  const { patch_size, merge_size, min_pixels, max_pixels } = image_processor;
  const grids = new Map<string, ImageGrid>();
  return {
    imageGrid: (id: string) => grids.get(id),
    addImages: async (images: readonly DecodedImage[]): Promise<readonly ImageGrid[]> =>
      images.map(({ id, height, width }) => {
        const resized = smartResize({ height, width, factor: patch_size * merge_size, min_pixels, max_pixels });
        const [h, w] = [resized.height / patch_size, resized.width / patch_size];
        const grid: ImageGrid = { id, image_grid_thw: [1, h, w], num_tokens: (h * w) / merge_size ** 2 };
        grids.set(id, grid);
        return grid;
      }),
  };
}
