import { backwardBytes, forwardBytes, keptBytes, type Pass } from "./activation-memory.js";
import { type ModelSizes, readModelSizes } from "./model-sizes.js";

/** Peak resident memory of a training process, predicted from the model's files and the config: nothing is loaded. */
export interface MemoryPlan {
  readonly num_parameters: number;
  readonly num_trainable_parameters: number;
  readonly parts: readonly MemoryPart[];
  /** Highest sum of the parts that exist together. */
  readonly peak_bytes: number;
  readonly peak_phase: PlanPhase;
}

export type PlanPhase = "rollout" | "score" | "update";

export interface MemoryPart {
  readonly name: string;
  readonly bytes: number;
  readonly how: string;
  /** When it is held; null: all the time. */
  readonly phase: PlanPhase | null;
}

export interface MemoryQuestion {
  readonly model: {
    readonly path: string;
    readonly train_vision_tower: boolean;
    readonly train_connector: boolean;
    readonly train_language_model: boolean;
  };
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
  readonly max_concurrent_completions: number;
  readonly kv_block_size: number;
  readonly tokens_per_microbatch: number;
  readonly activation_checkpointing: boolean;
  readonly image_cache_bytes: number;
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

const float32_bytes = 4;

/** Measured once on Linux x86-64 (Node 20, libtorch 2.13): what no part above accounts for. */
const engine = {
  /** Node, libtorch, image decoder, thread stacks and product workspaces, before any model. */
  process_bytes: 260 * 2 ** 20,
  /** Freed blocks that the allocator keeps and cannot reuse, as a share of what comes and goes. */
  fragmentation: 0.08,
  /** Prompt tokens computed at once when sampling (native/pipeline/rollout/session.h). */
  prefill_tokens: 8192,
};

export async function memoryPlan(question: MemoryQuestion): Promise<MemoryPlan> {
  return planOf(await readModelSizes(question.model.path), question);
}

/** The plan for a model whose files have been read. */
export function planOf(sizes: ModelSizes, question: MemoryQuestion): MemoryPlan {
  const { model, prompts } = question;
  const { vision_tower, connector, language_model } = sizes.parameters;
  const total = vision_tower + connector + language_model;
  const trainable =
    (model.train_vision_tower ? vision_tower : 0) +
    (model.train_connector ? connector : 0) +
    (model.train_language_model ? language_model : 0);
  const reference = !question.with_reference ? 0 : question.reference_path === null ? trainable : total;
  const pass = largestPass(question);
  const kv = kvCache(sizes, question);
  const slack = (bytes: number): number => Math.round(bytes * (1 + engine.fragmentation));
  const backward = keptBytes(sizes, pass, question.activation_checkpointing) + backwardBytes(sizes, pass);
  const parts: MemoryPart[] = [
    { name: "process", bytes: engine.process_bytes, how: "Node, libtorch and workspaces, measured once", phase: null },
    { name: "weights", bytes: total * float32_bytes, how: `${total} parameters x 4 B`, phase: null },
    {
      ...{ name: "moments", bytes: 2 * trainable * float32_bytes, phase: null },
      how: `${trainable} trainable parameters x 2 x 4 B`,
    },
    {
      ...{ name: "reference", bytes: reference * float32_bytes, phase: null },
      how: question.with_reference
        ? `${reference} parameters x 4 B${reference < total ? "; the others are shared with the policy" : ""}`
        : "no KL coefficient above 0",
    },
    imageCache(sizes, question),
    ...(question.samples
      ? [
          { name: "kv cache", bytes: kv.bytes, how: kv.how, phase: "rollout" as const },
          {
            ...{ name: "prefill", phase: "rollout" as const },
            bytes: slack(forwardBytes(sizes, prefillPass(question))),
            how: `one block's values of at most ${engine.prefill_tokens} prompt tokens`,
          },
        ]
      : []),
    ...(question.with_reference
      ? [
          {
            ...{ name: "scoring", phase: "score" as const, bytes: slack(forwardBytes(sizes, pass)) },
            how: `one block's values of ${pass.tokens} tokens, and logits in chunks`,
          },
        ]
      : []),
    {
      ...{ name: "gradients", bytes: trainable * float32_bytes, phase: "update" },
      how: `${trainable} trainable parameters x 4 B`,
    },
    {
      ...{ name: "activations", bytes: slack(backward), phase: "update" },
      how: `${pass.tokens} tokens at once${question.activation_checkpointing ? ", each block's input and one block's values" : ", every block's values"}, and logits in chunks; prompts of ${prompts.tokens} tokens (${prompts.how})`,
    },
  ];
  const held = (phase: PlanPhase): number =>
    parts.filter((part) => part.phase === null || part.phase === phase).reduce((sum, part) => sum + part.bytes, 0);
  const peak_phase = (["rollout", "score", "update"] as const).reduce((a, b) => (held(b) > held(a) ? b : a));
  return {
    ...{ num_parameters: total, num_trainable_parameters: trainable, parts },
    ...{ peak_bytes: held(peak_phase), peak_phase },
  };
}

/** As native/batches/group_rows.cpp packs it: whole groups up to the budget, a larger group cut, at least one row. */
function largestPass(question: MemoryQuestion): Pass {
  const { tokens: prompt, patches } = question.prompts;
  const fed = question.max_completion_tokens - 1;
  const budget = question.tokens_per_microbatch;
  const group_rows = Math.min(question.completions_per_prompt, question.completions_per_update);
  const groups = Math.ceil(question.completions_per_update / group_rows);
  const group = prompt + group_rows * fed;
  const cut = group > budget;
  const rows = cut ? Math.max(1, Math.floor((budget - prompt) / Math.max(1, fed))) : group_rows;
  const together = cut ? 1 : Math.min(groups, Math.floor(budget / group));
  return {
    tokens: together * (prompt + rows * fed),
    predicted: together * rows * question.max_completion_tokens,
    patches: trainsVision(question) ? together * patches : 0,
  };
}

const trainsVision = ({ model }: MemoryQuestion): boolean => model.train_vision_tower || model.train_connector;

function prefillPass(question: MemoryQuestion): Pass {
  const { tokens, patches, images_per_prompt } = question.prompts;
  const running = Math.ceil(question.max_concurrent_completions / question.completions_per_prompt);
  const started = Math.min(question.prompts_per_step, running);
  const prompts = Math.max(1, Math.min(started, Math.floor(engine.prefill_tokens / tokens)));
  const at_once = trainsVision(question) ? prompts * patches : patches / Math.max(1, images_per_prompt);
  return { tokens: prompts * tokens, predicted: question.max_concurrent_completions, patches: at_once };
}

/** Blocks that hold a position: of each prompt once, and of every completion. What is only reserved is not resident. */
function kvCache(sizes: ModelSizes, question: MemoryQuestion): { bytes: number; how: string } {
  const { kv_width, blocks: layers } = sizes.language;
  const { kv_block_size: size, completions_per_prompt, max_completion_tokens } = question;
  const completions = Math.min(question.max_concurrent_completions, question.prompts_per_step * completions_per_prompt);
  const prompts = Math.ceil(completions / completions_per_prompt);
  const blocks =
    prompts * Math.ceil(question.prompts.tokens / size) + completions * Math.ceil((max_completion_tokens - 1) / size);
  const block_bytes = 2 * layers * kv_width * size * float32_bytes;
  return {
    bytes: blocks * block_bytes,
    how: `${prompts} prompts x ${question.prompts.tokens} and ${completions} completions x ${max_completion_tokens} tokens take ${blocks} blocks of ${block_bytes} B`,
  };
}

/** Pixels of every image, and features of a frozen tower. A step's own images stay, whatever the budget. */
function imageCache(sizes: ModelSizes, question: MemoryQuestion): MemoryPart {
  const { patches, images_per_prompt, num_images } = question.prompts;
  const { vision, language } = sizes;
  const per_patch =
    vision === undefined
      ? 0
      : vision.pixel_bytes + (trainsVision(question) ? 0 : (language.width * float32_bytes) / vision.merged_patches);
  const bytes_of = (images: number): number =>
    images_per_prompt === 0 ? 0 : Math.round(((images * patches) / images_per_prompt) * per_patch);
  const step = bytes_of(question.prompts_per_step * images_per_prompt);
  return {
    ...{ name: "image cache", phase: null },
    bytes: Math.max(step, Math.min(question.image_cache_bytes, bytes_of(num_images))),
    how: `pixels${trainsVision(question) ? "" : " and features"} of ${num_images} images, at most image_cache_bytes or one step's`,
  };
}
