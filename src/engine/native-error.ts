import { type Divergence, DivergenceError, UserError, type UserErrorCode } from "../errors.js";

/** What a failed check of one verb means, and the way out. */
export interface Meaning {
  readonly code: UserErrorCode;
  readonly hint: string;
}

/** By what the caller gave: a model folder, saved state, options, images, prompts, or a batch. */
export const meanings = {
  model: { code: "CHECKPOINT_INVALID", hint: "Correct the file named above, or give another model folder." },
  state: { code: "CHECKPOINT_INVALID", hint: "Go on from another checkpoint of the same model." },
  sampling: { code: "CONFIG_INVALID", hint: "Correct the sampling options named above." },
  images: { code: "IMAGE_INVALID", hint: "Replace the image, or remove the sample from the dataset." },
  prompts: { code: "PROMPT_INVALID", hint: "Make prompts by buildPrompts, which also gives the engine their images." },
  batch: {
    code: "BATCH_INVALID",
    hint:
      "Give whole batches as the engine's verbs returned them, to an engine opened with what this verb needs " +
      "(with_reference, trainable parts).",
  },
} as const satisfies Record<string, Meaning>;

const NOT_WRITABLE: Meaning = {
  code: "FILE_NOT_WRITABLE",
  hint: "Free space, correct the permissions, or choose another folder. A run keeps its earlier checkpoints: --resume.",
};
const CLOSED: Meaning = { code: "ENGINE_CLOSED", hint: "Use it before it is closed, or open it anew." };
const NOT_FINITE: Meaning = {
  code: "TRAINING_DIVERGED",
  hint: "Use another model folder or an earlier checkpoint; train with a lower optimizer.learning_rate or max_grad_norm.",
};
export const rank_lost_hint =
  "Look at that rank's own output. The last checkpoint is whole: go on from it by --resume, or by itself with --max-restarts.";
const LOST: Meaning = { code: "RANK_LOST", hint: rank_lost_hint };
const LORA: Meaning = {
  code: "CONFIG_INVALID",
  hint: "Correct the key named above: docs/lora.md says what each of them means.",
};
const UNSUPPORTED = "MODEL_UNSUPPORTED";

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

/**
 * What a failed native call means to the user. Checks of the native side speak to the user and become a UserError;
 * anything else is a bug and keeps its stack.
 */
export function asUserError(error: unknown, meaning: Meaning): unknown {
  if (!(error instanceof Error)) return error;
  const code = codeOf(error);
  if (code === "DIVERGED")
    return new DivergenceError((error as Error & { divergence: Divergence }).divergence, undefined, { cause: error });
  if (code === "MEMORY")
    return new UserError(
      "DEVICE_OUT_OF_MEMORY",
      error.message,
      "Lower tokens_per_microbatch or max_concurrent_completions, or use a machine with more memory.",
      { cause: error },
    );
  if (code !== "CHECK") return error;
  const { code: user_code, hint } = meaningOf(error.message, meaning);
  return new UserError(user_code, error.message, hint, { cause: error });
}

function meaningOf(message: string, meaning: Meaning): Meaning {
  if (/^rank \d+ lost its connection/.test(message)) return LOST;
  if (/: cannot be written[:.]/.test(message)) return NOT_WRITABLE;
  if (/^the (engine|rollout session) is closed/.test(message)) return CLOSED;
  if (message.startsWith("model.lora")) return LORA;
  if (message.startsWith("the model's logits are not finite")) return NOT_FINITE;
  return message.includes("model_type") ? { ...meaning, code: UNSUPPORTED } : meaning;
}

export const isStopped = (error: unknown): boolean => codeOf(error) === "STOPPED";
