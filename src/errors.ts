/** Every failure that a user can cause or mend, by name. The code is part of the public API. */
export const USER_ERROR_CODES = [
  "ADDON_NOT_BUILT",
  "BATCH_INVALID",
  "CHECKPOINT_INVALID",
  "CONFIG_INVALID",
  "DATASET_INVALID",
  "DEVICE_OUT_OF_MEMORY",
  "DEVICE_UNAVAILABLE",
  "DOWNLOAD_FAILED",
  "ENGINE_CLOSED",
  "FILE_NOT_FOUND",
  "FILE_NOT_WRITABLE",
  "HEALTH_ALARM",
  "IMAGE_INVALID",
  "INTERRUPTED",
  "MODEL_UNSUPPORTED",
  "PROMPT_INVALID",
  "RANK_FAILED",
  "RANK_LOST",
  "RENDEZVOUS_FAILED",
  "REWARD_FAILED",
  "REWARD_INVALID",
  "ROLLOUT_MISMATCH",
  "RUN_FOLDER_IN_USE",
  "TOKENIZER_INVALID",
  "TRACKER_INVALID",
  "TRAINING_DIVERGED",
] as const;

export type UserErrorCode = (typeof USER_ERROR_CODES)[number];

/**
 * An expected failure: `message` says what is wrong and where, `hint` says what to do.
 * The command line prints both without a stack and exits with 2 (130 for `INTERRUPTED`).
 */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly code: UserErrorCode;
  readonly hint: string;

  constructor(code: UserErrorCode, message: string, hint: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.hint = hint;
  }
}

/** The minibatch that a training must not learn from: its loss or a gradient is NaN or infinite. */
export interface Divergence {
  /** Optimizer steps taken before it; weights and moments are as they left them. */
  readonly optimizer_step: number;
  readonly loss: number;
  /** L2 norm over all gradients. */
  readonly grad_norm: number;
  /** Tensors whose gradient is not finite, by checkpoint name. */
  readonly parameters: readonly string[];
  /** Rows of the trajectory batch that the minibatch consists of. */
  readonly minibatch_rows: readonly number[];
}

/** `update` stopped before it spoilt the weights. */
export class DivergenceError extends UserError {
  readonly divergence: Divergence;

  /** @param kept where the batch lies, or why it could not be kept */
  constructor(divergence: Divergence, kept?: string, options?: ErrorOptions) {
    const { optimizer_step, loss, parameters } = divergence;
    const named = parameters.slice(0, 3).map((name) => `"${name}"`);
    if (parameters.length > named.length) named.push(`${parameters.length - named.length} more`);
    const gradients = named.length === 0 ? "" : `, and the gradients of ${named.join(", ")} are not finite`;
    super(
      "TRAINING_DIVERGED",
      `at optimizer step ${optimizer_step + 1} the loss is ${loss}${gradients}; the weights were left as they were` +
        (kept === undefined ? "" : `; ${kept}`),
      "Look at the batch for extreme rewards or log-probs. Start a new run from the last checkpoint's model, with a lower " +
        "optimizer.learning_rate or max_grad_norm.",
      options,
    );
    this.divergence = divergence;
  }
}
