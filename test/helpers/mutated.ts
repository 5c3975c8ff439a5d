/** Damaged files, read in a process of its own, which may die without taking the test along. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, expect, test } from "vitest";
import { type Random, randomOf } from "./mutate.js";

/** Cases of each kind; SIGHTLOOP_MUTATIONS=1000 looks further. */
const num_cases = Number(process.env["SIGHTLOOP_MUTATIONS"] ?? 10);
/** Longer than any case takes, on a busy machine too: what exceeds it hangs. */
const patience_ms = 60_000;

interface Outcome {
  readonly works: boolean;
  readonly name?: string;
  readonly code?: string;
  readonly message?: string;
  readonly hint?: string;
  readonly stack?: string;
}

/** The process that reads, started anew after each that died. */
class Reader {
  #child: ChildProcessWithoutNullStreams | undefined;
  #lines: AsyncIterator<string> | undefined;
  #said = "";

  async ask(request: object): Promise<Outcome | string> {
    if (this.#child === undefined) {
      this.#child = spawn(process.execPath, [resolve("test/helpers/reader.mjs")]);
      this.#said = "";
      this.#child.stderr.setEncoding("utf8").on("data", (text: string) => (this.#said += text));
      this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
      await this.#lines.next();
    }
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((settle) => (timer = setTimeout(() => settle("late"), patience_ms)));
    const next = await Promise.race([this.#lines!.next(), late]);
    clearTimeout(timer);
    if (next !== "late" && next.done !== true) return JSON.parse(next.value) as Outcome;
    this.stop();
    return next === "late" ? "hangs" : `the process died\n${this.#said}`;
  }

  stop(): void {
    this.#child?.kill("SIGKILL");
    this.#child = undefined;
  }
}

const reader = new Reader();
afterAll(() => reader.stop());

/** What is wrong with an outcome; undefined if it is as it should be. */
function fault(outcome: Outcome | string, file: RegExp): string | undefined {
  if (typeof outcome === "string") return outcome;
  if (outcome.works) return undefined;
  const { name, code, message = "", hint = "" } = outcome;
  if (name !== "UserError" || code === undefined) return `a bug: ${outcome.stack}`;
  if (hint === "") return `${message}: no hint`;
  if (/INTERNAL ASSERT|Exception raised|^ {4}at /m.test(message)) return `not for a user: ${message}`;
  if (!file.test(message) && code !== "TRAINING_DIVERGED") return `names no file: ${code} ${message}`;
  return undefined;
}

interface Mutated {
  /** Damages the file and says what the reader shall do. */
  readonly prepare: (random: Random, seed: number) => object;
  /** What an error has to name. */
  readonly file: RegExp;
}

/** Runs the cases of a kind; a failure lists the seeds. */
export function mutated(kind: string, { prepare, file }: Mutated): void {
  test(kind, { timeout: 20 * patience_ms }, async () => {
    const faults: string[] = [];
    let refused = 0;
    for (let seed = 0; seed < num_cases; seed++) {
      const outcome = await reader.ask(prepare(randomOf(seed + 1000 * kind.length), seed));
      const what = fault(outcome, file);
      if (what !== undefined) faults.push(`seed ${seed}: ${what}`);
      if (typeof outcome === "object" && !outcome.works) refused += 1;
    }
    expect(faults.join("\n\n")).toBe("");
    expect(refused, "cases that were refused: the damage must show").toBeGreaterThan(0);
  });
}

/** Damages one file of a folder that is otherwise whole, and mends the one before. */
export function damager(folder: () => string) {
  const whole = new Map<string, Buffer>();
  let damaged: string | undefined;
  return (name: string, change: (bytes: Buffer) => string | Uint8Array): void => {
    if (damaged !== undefined) writeFileSync(join(folder(), damaged), whole.get(damaged)!);
    if (!whole.has(name)) whole.set(name, readFileSync(join(folder(), name)));
    damaged = name;
    writeFileSync(join(folder(), name), change(whole.get(name)!));
  };
}
