import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { makeFolder } from "../reports/files.js";

export interface Ended {
  /** null if a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
  /** What it said at last on stderr, "" for nothing. */
  readonly error: string;
}

export interface Child {
  /** Lets it save and end. */
  readonly interrupt: () => void;
  /** Ends it at once. */
  readonly kill: () => void;
  readonly ended: Promise<Ended>;
}

const max_error_bytes = 4000;

/**
 * Starts a command; all that it says goes to the log. It has a process group of its own, so that a Ctrl-C in the terminal
 * reaches it once, through `interrupt`. If this process dies, the closed pipe ends it at its next line.
 */
export async function startChild(
  program: readonly string[],
  args: readonly string[],
  log_path: string,
  onEvent: (event: Readonly<Record<string, unknown>>) => void,
): Promise<Child> {
  await makeFolder(dirname(log_path));
  const log = createWriteStream(log_path, { flags: "a" });
  log.on("error", () => {}); // a full disk is met, and reported, by the run itself
  log.write(`$ sightloop ${args.join(" ")}\n`);
  const child = spawn(program[0]!, [...program.slice(1), ...args], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let error = "";
  child.stderr.on("data", (text: Buffer) => {
    log.write(text);
    error = (error + text.toString("utf8")).slice(-max_error_bytes);
  });
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => {
    const event = parsed(line);
    if (event?.["type"] === "progress") return; // thousands, and of no use later
    log.write(`${line}\n`);
    if (event !== undefined) onEvent(event);
  });
  return { ...signals(child), ended: ending(child, () => error).finally(() => log.end()) };
}

const signals = (child: ChildProcess): Pick<Child, "interrupt" | "kill"> => ({
  interrupt: () => void child.kill("SIGINT"),
  kill: () => void child.kill("SIGKILL"),
});

const ending = (child: ChildProcess, error: () => string): Promise<Ended> =>
  new Promise((resolve) => {
    child.once("error", (cause) => resolve({ code: 1, signal: null, error: cause.message }));
    child.once("close", (code, signal) => resolve({ code, signal, error: error().trim() }));
  });

function parsed(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}
