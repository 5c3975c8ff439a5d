import { vi } from "vitest";
import yargs from "yargs";
import { trainCommand } from "../../src/cli/commands/train.js";
import { fail } from "../../src/cli/fail.js";
import type { Outcome } from "./support.js";

/**
 * `sightloop train` in this process, as `main.ts` runs it but for the process: what is printed is gathered, the exit code is
 * what `fail` sets. For what is refused before it trains; a process of its own takes a second to start.
 */
export async function trainCommandHere(args: readonly string[], cwd: string): Promise<Outcome> {
  const printed = { stdout: "", stderr: "" };
  const gather = (name: "stdout" | "stderr") => (text: unknown) => void (printed[name] += `${String(text)}\n`);
  const spies = [
    vi.spyOn(console, "log").mockImplementation(gather("stdout")),
    vi.spyOn(console, "error").mockImplementation(gather("stderr")),
  ];
  const home = process.cwd();
  process.chdir(cwd);
  try {
    const parser = yargs([...args])
      .strict()
      .exitProcess(false);
    await parser
      .command(trainCommand)
      .fail((message, error: Error | undefined) => {
        throw error ?? new Error(message);
      })
      .parseAsync()
      .catch(fail);
    return { code: Number(process.exitCode ?? 0), ...printed };
  } finally {
    process.exitCode = undefined;
    process.chdir(home);
    for (const spy of spies) spy.mockRestore();
  }
}
