/** Every failure that a user can cause or mend, by name. The code is part of the public API. */
export const USER_ERROR_CODES = [
  "ADDON_NOT_BUILT",
  "BATCH_INVALID",
  "CHECKPOINT_INVALID",
  "CONFIG_INVALID",
  "DATASET_INVALID",
  "DEVICE_OUT_OF_MEMORY",
  "ENGINE_CLOSED",
  "FILE_NOT_FOUND",
  "FILE_NOT_WRITABLE",
  "IMAGE_INVALID",
  "INTERRUPTED",
  "MODEL_UNSUPPORTED",
  "PROMPT_INVALID",
  "REWARD_FAILED",
  "ROLLOUT_MISMATCH",
  "RUN_FOLDER_IN_USE",
  "TOKENIZER_INVALID",
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
