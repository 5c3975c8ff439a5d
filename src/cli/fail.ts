import { UserError } from "../errors.js";

/** The command line itself is wrong. */
export class UsageError extends Error {
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

/** What a user can mend: message and hint, exit code 2 (130 after an interrupt). A bug keeps its stack, exit code 1. */
export function fail(error: unknown): void {
  if (error instanceof UsageError) {
    console.error(`error: ${error.message}\nhint: ${error.hint}`);
    process.exitCode = 2;
  } else if (error instanceof UserError) {
    console.error(`error: ${error.message}\nhint: ${error.hint}`);
    process.exitCode = error.code === "INTERRUPTED" ? 130 : 2;
  } else {
    console.error(error);
    console.error("\nThis is a bug in sightloop: please report it with the lines above.");
    process.exitCode = 1;
  }
}
