import { UserError, type UserErrorCode } from "../errors.js";

/** The command line itself is wrong. */
export class UsageError extends Error {
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

const exit_codes: Partial<Record<UserErrorCode, number>> = { INTERRUPTED: 130, RANK_LOST: 3, RANK_FAILED: 3 };

/** What a user can mend: message and hint, exit code 2 (130 after an interrupt, 3 where
 * starting again may help). A bug keeps its stack, exit code 1. */
export function fail(error: unknown): void {
  if (error instanceof UsageError) {
    console.error(`error: ${error.message}\nhint: ${error.hint}`);
    process.exitCode = 2;
  } else if (error instanceof UserError) {
    console.error(`error: ${error.message}\nhint: ${error.hint}`);
    process.exitCode = exit_codes[error.code] ?? 2;
  } else {
    console.error(error);
    console.error("\nThis is a bug in sightloop: please report it with the lines above.");
    process.exitCode = 1;
  }
}
