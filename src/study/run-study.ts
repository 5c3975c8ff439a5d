import { rm } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.js";
import { type Child, type Ended, startChild } from "./child.js";
import { commandOf } from "./command.js";
import type { StudyEvent } from "./events.js";
import type { PlannedRun, StudyPlan } from "./plan.js";
import { Queue } from "./queue.js";
import { checkDefinitions, openState, type StudyState } from "./state.js";

export interface RunStudyOptions {
  /** What starts the command line: the program and its first arguments. */
  readonly program: readonly string[];
  /** What a person types to go on after an interrupt. */
  readonly command: string;
  /** Makes these runs again, and those that start from them: ids or entries; "all"; "changed" is what other values made. */
  readonly redo: readonly string[];
}

export interface StudyOutcome {
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
}

/** Runs what a study lacks, `jobs` processes at once. A failed run stops only those that need it. */
export async function* runStudy(
  plan: StudyPlan,
  options: RunStudyOptions,
  signal: AbortSignal,
): AsyncGenerator<StudyEvent, StudyOutcome> {
  const { study, folder, runs } = plan;
  await using state = await openState(folder, study.name);
  await forget(plan, state, options.redo);
  checkDefinitions(folder, runs, state.runs);
  const isFinished = (id: string): boolean => state.runs.get(id)?.state === "finished";
  const waiting = new Set(runs.filter(({ id }) => !isFinished(id)));
  const [failed, skipped]: [string[], string[]] = [[], []];
  const queue = new Queue<StudyEvent | { readonly type: "ended"; readonly id: string }>();
  const running = new Map<string, { interrupt: () => void; kill: () => void }>();
  const killAll = (): void => running.forEach(({ kill }) => kill());
  const interruptAll = (): void => running.forEach(({ interrupt }) => interrupt());
  signal.addEventListener("abort", interruptAll);
  process.on("exit", killAll);
  try {
    for (;;) {
      for (const run of waiting) {
        const needs = [run.from, run.data].filter((id) => id !== undefined);
        const lost = needs.find((id) => failed.includes(id) || skipped.includes(id));
        if (lost !== undefined) {
          waiting.delete(run);
          skipped.push(run.id);
          yield { type: "run_skipped", id: run.id, needs: lost };
        } else if (!signal.aborted && running.size < study.jobs && needs.every(isFinished)) {
          waiting.delete(run);
          running.set(run.id, { interrupt: () => {}, kill: () => {} });
          void runOne({ plan, state, run, program: options.program, queue, signal }, (child) =>
            running.set(run.id, child),
          );
        }
      }
      if (running.size === 0) break;
      const event = await queue.next();
      if (event.type === "ended") running.delete(event.id);
      else {
        if (event.type === "run_failed") failed.push(event.id);
        yield event;
      }
    }
  } finally {
    signal.removeEventListener("abort", interruptAll);
    process.off("exit", killAll);
    killAll();
  }
  if (signal.aborted)
    throw new UserError("INTERRUPTED", `interrupted with ${waiting.size} runs to go`, `Go on with: ${options.command}`);
  return { failed, skipped };
}

/** Runs to be made again lose their folders and what is known of them. */
async function forget({ folder, runs }: StudyPlan, state: StudyState, redo: readonly string[]): Promise<void> {
  const named = (run: PlannedRun): boolean =>
    redo.includes("all") ||
    redo.includes(run.id) ||
    redo.includes(run.entry) ||
    (redo.includes("changed") && (state.runs.get(run.id)?.definition ?? run.definition) !== run.definition);
  const unknown = redo.find(
    (name) => name !== "all" && name !== "changed" && !runs.some(({ id, entry }) => id === name || entry === name),
  );
  if (unknown !== undefined)
    throw new UserError(
      "CONFIG_INVALID",
      `--redo ${unknown}: the study has no such entry or run`,
      "Name an entry, a run as rl/seed-0, changed, or all.",
    );
  const gone = new Set<string>();
  for (const run of runs) {
    if (!named(run) && !gone.has(run.from ?? "") && !gone.has(run.data ?? "")) continue;
    gone.add(run.id);
    await rm(join(folder, run.id), { recursive: true, force: true });
    await state.forget(run.id);
  }
}

interface OneRun {
  readonly plan: StudyPlan;
  readonly state: StudyState;
  readonly run: PlannedRun;
  readonly program: readonly string[];
  readonly queue: Queue<StudyEvent | { readonly type: "ended"; readonly id: string }>;
  readonly signal: AbortSignal;
}

/** Never rejects: what goes wrong is an event. */
async function runOne(
  { plan, state, run, program, queue, signal }: OneRun,
  onStart: (child: Child) => void,
): Promise<void> {
  const { id, definition } = run;
  const log = join(plan.folder, "logs", `${id}.log`);
  const before = state.runs.get(id)?.seconds ?? 0;
  const started = performance.now();
  const seconds = (): number => before + (performance.now() - started) / 1000;
  try {
    const { args, is_resumed, note } = await commandOf(plan, run);
    await state.set(id, { definition, state: "started", seconds: before });
    if (signal.aborted) return;
    queue.push({ type: "run_started", id, is_resumed, note });
    const child = await startChild(program, args, log, (event) => {
      const { type, step, steps } = event;
      if ((type === "step" || type === "started") && typeof step === "number" && typeof steps === "number")
        queue.push({ type: "run_progress", id, step, steps });
    });
    onStart(child);
    if (signal.aborted) child.interrupt();
    const ended = await child.ended;
    const error = errorOf(ended);
    if (error === undefined) {
      await state.set(id, { definition, state: "finished", seconds: seconds() });
      queue.push({ type: "run_finished", id, seconds: seconds() });
    } else if (signal.aborted) await state.set(id, { definition, state: "started", seconds: seconds() });
    else {
      await state.set(id, { definition, state: "failed", seconds: seconds(), error });
      queue.push({ type: "run_failed", id, error, log });
    }
  } catch (error) {
    const message = error instanceof UserError ? `${error.message} (${error.hint})` : String(error);
    queue.push({ type: "run_failed", id, error: message, log });
  } finally {
    queue.push({ type: "ended", id });
  }
}

function errorOf({ code, signal, error }: Ended): string | undefined {
  if (code === 0) return undefined;
  if (signal !== null)
    return `ended by ${signal}${signal === "SIGKILL" ? "; the machine may have run out of memory" : ""}`;
  const said = error
    .split("\n")
    .filter((line) => line.startsWith("error: "))
    .at(-1)
    ?.slice(7);
  return said ?? (error.split("\n").at(-1) || `ended with exit code ${code}`);
}
