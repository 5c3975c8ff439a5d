import { UserError } from "../errors.js";

/** A piece of opening a run: an interrupt is told as such, and nothing has been learned yet. */
export async function interruptible<T>(
  signal: AbortSignal,
  { resume, command }: { readonly resume: boolean; readonly command: string },
  work: () => Promise<T>,
): Promise<T> {
  try {
    signal.throwIfAborted();
    return await work();
  } catch (cause) {
    if (!signal.aborted || cause instanceof UserError) throw cause;
    const hint = `Nothing was changed. ${resume ? `Go on with: ${command}` : "Start the run again."}`;
    throw new UserError("INTERRUPTED", "interrupted while the model was being loaded", hint, { cause });
  }
}
