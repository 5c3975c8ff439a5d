// What the set-up scripts say, and how they give up: one message (what, where, what to do), exit code 1, no stack.

/** A failure that the user can do something about. */
export class SetupError extends Error {
  /** @param {string} what happened, and where  @param {string} hint what to do */
  constructor(what, hint) {
    super(what);
    this.hint = hint;
  }
}

const quiet = process.env.SIGHTLOOP_QUIET === "1";

/** One plain progress line. @param {string} line */
export function tell(line) {
  if (!quiet) process.stderr.write(`sightloop: ${line}\n`);
}

/** @param {number} since a time of Date.now() */
export function seconds(since) {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}

/** Runs a script's main function; a SetupError ends the process with its message alone. @param {() => Promise<void>} main */
export async function runScript(main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`\nsightloop: ${error.message}\n  What to do: ${error.hint.replaceAll("\n", "\n  ")}\n`);
    process.exitCode = 1;
  }
}
