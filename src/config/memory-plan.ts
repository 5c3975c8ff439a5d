import { float32_bytes, forwardBytes, updateBytes, value_bytes } from "./activation-memory.js";
import { imageCache, imagesAhead, kvCache } from "./memory-caches.js";
import type { AdapterSizes } from "./lora.js";
import { concurrent, microbatches, prefillPass, prefill_tokens } from "./memory-passes.js";
import { countsOf, weightParts } from "./memory-weights.js";
import { type ModelSizes, readModelSizes } from "./model-sizes.js";
import type { Dtype } from "./sections.js";

/** Peak resident memory of a training process, predicted from the model's files and the config: nothing is loaded. */
export interface MemoryPlan {
  readonly num_parameters: number;
  readonly num_trainable_parameters: number;
  readonly parts: readonly MemoryPart[];
  /** Highest sum of the parts that exist together; of a run on a device, of those that lie there. */
  readonly peak_bytes: number;
  readonly peak_phase: PlanPhase;
  /** Offloaded to host memory. */
  readonly host_bytes: number;
}

export const plan_phases = ["rollout", "score", "update", "optimizer_step"] as const;
export type PlanPhase = (typeof plan_phases)[number];

export interface MemoryPart {
  readonly name: string;
  readonly bytes: number;
  readonly how: string;
  readonly held_in: readonly PlanPhase[];
  /** Offloaded: not on the device. */
  readonly on_host?: true;
}

export interface MemoryQuestion {
  /** Resident before a model is loaded. */
  readonly process_bytes: number;
  readonly model: {
    readonly path: string;
    readonly dtype: Dtype;
    readonly train_vision_tower: boolean;
    readonly train_connector: boolean;
    readonly train_language_model: boolean;
  };
  /** Trained in place of the language model's own weights. */
  readonly adapter?: AdapterSizes | undefined;
  /** The plan is of a device's memory; absent: of the host's, where everything is. */
  readonly on_device?: boolean | undefined;
  /** Moments and masters, and the reference while it does not score, lie in host memory. Only with on_device. */
  readonly offload_optimizer?: boolean | undefined;
  readonly offload_reference?: boolean | undefined;
  readonly with_reference: boolean;
  /** null: a frozen copy of the policy, which shares what is not trained. */
  readonly reference_path: string | null;
  readonly prompts: PromptSizes;
  readonly max_completion_tokens: number;
  readonly completions_per_prompt: number;
  readonly prompts_per_step: number;
  readonly completions_per_update: number;
  /** False for supervised fine-tuning without evaluations: nothing is sampled. */
  readonly samples: boolean;
  /** Whether completions are scored: by the reference, or by the policy to verify the rollout. */
  readonly scores: boolean;
  readonly max_concurrent_completions: number;
  readonly kv_block_size: number;
  readonly tokens_per_microbatch: number;
  readonly activation_checkpointing: boolean;
  readonly pack_weights: boolean;
  readonly image_cache_bytes: number;
  /** The next step's images are prepared ahead. */
  readonly prefetch_images?: boolean | undefined;
  /** Ranks that hold one copy of moments and masters between them; 1: this process holds all. */
  readonly optimizer_shares: number;
  /** Ranks that hold one copy of the decoder's blocks between them while an update runs; 1: each holds all. */
  readonly parameter_shares: number;
}

/** The largest of the prompts looked at, and how they were chosen. */
export interface PromptSizes {
  /** Image tokens included. */
  readonly tokens: number;
  /** Patches of all images of one prompt. */
  readonly patches: number;
  readonly how: string;
  /** Distinct images that the run will see, at most. */
  readonly num_images: number;
  readonly images_per_prompt: number;
}

/** Estimates of what no formula accounts for, fitted to measured peaks on Linux x86-64 (test/end-to-end/memory-plan.test.ts). */
const estimates = {
  /** Thread stacks, compiled products and their workspaces, JavaScript's heap as the run goes on. */
  workspace_bytes: 45 * 2 ** 20,
  /** What small blocks that stay hold apart, so that the next phase cannot reuse it. */
  fragmented_bytes: 40 * 2 ** 20,
  /** With activation checkpointing: each block's values come and go twice, among gradients that stay. */
  recomputation_bytes: 80 * 2 ** 20,
};

export async function memoryPlan(question: MemoryQuestion): Promise<MemoryPlan> {
  return planOf(await readModelSizes(question.model.path), question);
}

/** The plan for a model whose files have been read. */
export function planOf(sizes: ModelSizes, question: MemoryQuestion): MemoryPlan {
  const counts = countsOf(sizes, question);
  const all = [
    ...processParts(question),
    ...weightParts(sizes, question, counts),
    imageCache(sizes, question),
    ...imagesAhead(sizes, question),
    ...(question.samples ? rolloutParts(sizes, question) : []),
    ...passParts(sizes, question),
  ];
  const [needed, on_host] = [all.filter((part) => !part.on_host), all.filter((part) => part.on_host)];
  const held = (phase: PlanPhase): number => sumOf(needed.filter(({ held_in }) => held_in.includes(phase)));
  const peak_phase = plan_phases.reduce((a, b) => (held(b) > held(a) ? b : a));
  const there = [...needed, fragmentation(needed, peak_phase, question)];
  return {
    num_parameters: counts.total + counts.adapter,
    num_trainable_parameters: counts.trained + counts.adapter,
    parts: [...there, ...on_host],
    ...{ peak_bytes: sumOf(there.filter(({ held_in }) => held_in.includes(peak_phase))), peak_phase },
    host_bytes: sumOf(on_host),
  };
}

const sumOf = (parts: readonly MemoryPart[]): number => parts.reduce((sum, { bytes }) => sum + bytes, 0);

/** Freed memory stays with the process (native/core/host_memory.cpp), and not all of it serves the next phase. */
function fragmentation(
  parts: readonly MemoryPart[],
  peak_phase: PlanPhase,
  { activation_checkpointing }: MemoryQuestion,
): MemoryPart {
  const freed = sumOf(parts.filter(({ held_in }) => !held_in.includes(peak_phase)));
  return {
    ...{ name: "fragmentation", held_in: always },
    bytes: Math.min(freed, estimates.fragmented_bytes) + (activation_checkpointing ? estimates.recomputation_bytes : 0),
    how: `estimate: what phases other than ${peak_phase}, and recomputation, have freed and cannot be reused`,
  };
}

const always = plan_phases;

const processParts = ({ process_bytes }: MemoryQuestion): readonly MemoryPart[] => [
  {
    ...{ name: "process", bytes: process_bytes, held_in: always },
    how: "Node, libtorch, tokenizer and dataset, resident before the model is loaded",
  },
  {
    ...{ name: "workspace", bytes: estimates.workspace_bytes, held_in: always },
    how: "estimate: threads, compiled products, JavaScript's heap",
  },
];

function rolloutParts(sizes: ModelSizes, question: MemoryQuestion): readonly MemoryPart[] {
  const { blocks, width, kv_width, intermediate, vocabulary } = sizes.language;
  const { dtype } = question.model;
  const { completions, prompts } = concurrent(question);
  const packed = blocks * width * (2 * width + 2 * kv_width + 3 * intermediate) + vocabulary * width;
  const packs = question.pack_weights && dtype === "float32";
  const decoding = (completions + prompts) * vocabulary * float32_bytes;
  return [
    {
      ...{ name: "packed weights", bytes: packs ? packed * float32_bytes : 0, held_in: ["rollout", "score"] },
      how: packs ? `${packed} values of the language model x 4 B, laid out for decoding` : "none: pack_weights, dtype",
    },
    kvCache(sizes, question),
    {
      ...{ name: "sampling", held_in: ["rollout"] },
      bytes: forwardBytes(sizes, prefillPass(question), dtype) + decoding,
      how: `one block's values of at most ${prefill_tokens} prompt tokens; logits of ${completions} completions and ${prompts} prompts`,
    },
  ];
}

function passParts(sizes: ModelSizes, question: MemoryQuestion): readonly MemoryPart[] {
  const { prompts, activation_checkpointing, model, adapter } = question;
  const { largest } = microbatches(question);
  const train_language_model = model.train_language_model && adapter === undefined;
  const work = { dtype: model.dtype, activation_checkpointing, train_language_model };
  const blocks = activation_checkpointing ? sizes.language.blocks : 1; // of an adapter, one block's values are alive
  const low_rank = (largest.tokens * (adapter?.kept_values ?? 0) * value_bytes[model.dtype]) / blocks;
  const scoring: MemoryPart = {
    ...{ name: "scoring", held_in: ["score"], bytes: forwardBytes(sizes, largest, model.dtype) },
    how: `one block's values of ${largest.tokens} tokens, and logits in chunks`,
  };
  return [
    ...(question.scores ? [scoring] : []),
    {
      ...{ name: "activations", held_in: ["update"] },
      bytes: updateBytes(sizes, largest, work) + Math.round(low_rank),
      how: `${largest.tokens} tokens at once${activation_checkpointing ? ", each block's input and one block's values" : ", every block's values"}, and logits in chunks; prompts of ${prompts.tokens} tokens (${prompts.how})`,
    },
  ];
}
