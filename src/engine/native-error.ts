import { UserError, type UserErrorCode } from "../errors.js";

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

/**
 * What a failed native call means to the user. Checks of the native side speak to the user and become a UserError;
 * anything else is a bug and keeps its stack.
 */
export function asUserError(error: unknown, code: UserErrorCode, hint: string): unknown {
  if (!(error instanceof Error)) return error;
  switch (codeOf(error)) {
    case "CHECK": {
      const unsupported = error.message.includes("model_type");
      return new UserError(unsupported ? "MODEL_UNSUPPORTED" : code, error.message, hint, { cause: error });
    }
    case "MEMORY":
      return new UserError(
        "DEVICE_OUT_OF_MEMORY",
        error.message,
        "Lower tokens_per_microbatch or max_concurrent_completions, or use a machine with more memory.",
        { cause: error },
      );
    default:
      return error;
  }
}

export const isStopped = (error: unknown): boolean => codeOf(error) === "STOPPED";
