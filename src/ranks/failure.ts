import { UserError, type UserErrorCode } from "../errors.js";

/** What went wrong on a rank, as the others are told. */
export interface Failure {
  readonly code?: string;
  readonly message: string;
  readonly hint?: string;
}

/** A bug keeps its stack and has no hint. */
export const toFailure = (error: unknown): Failure =>
  error instanceof UserError
    ? { code: error.code, message: error.message, hint: error.hint }
    : { message: error instanceof Error ? (error.stack ?? error.message) : String(error) };

/** The error on a rank that was told; `named` is the message with the place it comes from. */
export const fromFailure = ({ code, hint }: Failure, named: string, hint_of_bugs: string): UserError =>
  new UserError((code as UserErrorCode | undefined) ?? "RANK_FAILED", named, hint ?? hint_of_bugs);
