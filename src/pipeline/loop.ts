import { join } from "node:path";
import { UserError } from "../errors.js";
import type { Evaluation, EvaluationResult } from "../evaluate/result.js";
import { sampleBatch } from "../evaluate/sample-batch.js";
import type { HealthMonitor } from "../health/monitor.js";
import { onFirst, together, type Ranks } from "../ranks/ranks.js";
import type { RunRecord, StepRecord } from "../reports/run-folder.js";
import type { BestModel, CheckpointEvent, EvaluatedEvent, Phase, ProgressEvent, TrainEvent } from "./events.js";
import { saveOnAll } from "./save-on-all.js";
import { isCheckpointDue, isEvaluationDue } from "./schedule.js";
import { finishStep, stoppedBy } from "./finish-step.js";
import { testScores } from "./test-scores.js";
import type { SavedParts } from "../config/lora.js";

/** What reinforcement learning and supervised fine-tuning have in common: when to evaluate, to save and to stop. */
export interface Loop {
  readonly steps: number;
  readonly ranks: Ranks;
  /** On ranks other than the first it keeps nothing. */
  readonly record: RunRecord;
  readonly num_parameters: number;
  readonly num_trainable_parameters: number;
  /** Steps between evaluations and checkpoints; 0: only at the end. */
  readonly evaluate_every_steps: number;
  /** Steps between evaluations where epochs are counted, which need not be whole; undefined where they are not. */
  readonly evaluate_every_passes?: number | undefined;
  /** Every evaluation has a checkpoint, whatever checkpoint_every_steps is. */
  readonly checkpoint_at_evaluations?: boolean | undefined;
  readonly evaluate_before_training: boolean;
  readonly checkpoint_every_steps: number;
  /** Splits to evaluate, in order; empty where nothing is evaluated. */
  readonly splits: readonly string[];
  /** Names of their datasets, for the evaluations' files. */
  readonly datasets?: Readonly<Record<string, string>> | undefined;
  readonly evaluate: (split: string, signal: AbortSignal) => AsyncGenerator<Progress, Evaluation>;
  /**
   * One step: learns, and returns what to record; undefined if the data has ended. Rejects without having learned if the
   * signal aborts.
   */
  readonly step: (step: number, signal: AbortSignal) => AsyncGenerator<TrainEvent, StepRecord | undefined>;
  /** The data stream's cursor after the steps so far. */
  readonly dataCursor: () => unknown;
  readonly health: HealthMonitor;
  /** By what checkpoints are compared, given the evaluation of a split; null where it does not tell. */
  readonly score: (split: string, results: readonly EvaluationResult[]) => number | null;
  /** The split that `score` looks at. */
  readonly selects_on: string;
  /** Bytes that `save` writes, at most. */
  readonly checkpointBytes: () => Promise<number>;
  /** What a checkpoint holds besides state/; model/ alone unless said otherwise. */
  readonly saves?: SavedParts | undefined;
  /** Writes that and state/ into a checkpoint's folder; on ranks other than the first, their share of state/. */
  readonly save: (folder: string) => Promise<void>;
  /** How the run can be gone on with, for the message after an interrupt. */
  readonly command: string;
}

export interface Progress {
  readonly done: number;
  readonly total: number;
}

interface Position {
  readonly step: number;
  readonly data: unknown;
  readonly evaluated: boolean;
  readonly score: number | null;
}

/**
 * Runs a loop to its end. If the signal aborts while a step has not begun to learn, the step is dropped; while it
 * learns, it is finished. Either way a checkpoint of the last finished step follows, then UserError INTERRUPTED.
 */
export async function* runLoop(loop: Loop, signal: AbortSignal): AsyncGenerator<TrainEvent> {
  const { record, ranks } = loop;
  let { steps } = loop;
  const resumed = record.resumed?.cursor;
  let at: Position = resumed ?? { step: 0, data: loop.dataCursor(), evaluated: false, score: null };
  let saved = record.resumed && { step: record.resumed.cursor.step, path: record.resumed.folder };
  const { num_parameters, num_trainable_parameters } = loop;
  yield { type: "started", step: at.step, steps, num_parameters, num_trainable_parameters, run_folder: record.folder };
  for (const message of record.notes) yield { type: "note", message };
  if (at.step > steps)
    yield {
      type: "note",
      message: `the run already has ${at.step} steps, more than the ${steps} asked for: none is run`,
    };
  try {
    for (;;) {
      if (!at.evaluated) {
        const score = isEvaluationDue(loop, at.step, steps) ? yield* evaluateAt(loop, at.step, signal) : null;
        at = { ...at, evaluated: true, score };
        const evaluated = at;
        if (score !== null && saved?.step === at.step)
          await together(ranks, () => record.evaluatedCheckpoint(evaluated));
      }
      if (at.step > 0 && saved?.step !== at.step && isCheckpointDue(loop, at.step, steps))
        saved = (yield* save(loop, at, true)) ?? saved;
      if (at.step >= steps) break;
      await together(ranks, () => signal.throwIfAborted());
      const finished = yield* loop.step(at.step + 1, signal);
      if (finished === undefined) {
        if (at.step === 0)
          throw new UserError(
            "DATASET_INVALID",
            "the dataset ended before the first step had all its prompts",
            "Lower prompts_per_step, or give more samples.",
          );
        yield { type: "note", message: `the data ended after ${at.step} of ${steps} steps; less than a step was left` };
        steps = at.step;
        at = { ...at, evaluated: loop.splits.length === 0 || isEvaluationDue(loop, at.step, loop.steps) };
        continue;
      }
      at = { step: finished.step, data: loop.dataCursor(), evaluated: false, score: null };
      const alarm = yield* finishStep(loop, finished, steps);
      if (alarm !== undefined) {
        yield* save(loop, at, false);
        throw stoppedBy(alarm, loop);
      }
    }
  } catch (cause) {
    if (!signal.aborted || cause instanceof UserError) throw cause;
    if (saved?.step !== at.step) yield* save(loop, at, true);
    throw interrupted(loop, at.step, cause);
  }
  const { saves = { model: true, adapter: false } } = loop;
  const path = (part: "model" | "adapter"): string | null =>
    saved === undefined || !saves[part] ? null : join(saved.path, part);
  const best = await onFirst(ranks, () => bestModel(record));
  const test_scores = testScores(await record.evaluations(), loop.selects_on, { last: at.step, selected: best?.step });
  yield {
    ...{ type: "done", step: at.step, run_folder: record.folder },
    ...{ model_path: path("model"), adapter_path: path("adapter") },
    ...(best !== undefined && { best, selected_on: loop.selects_on }),
    ...(test_scores.length > 0 && { test_scores }),
  };
}

async function bestModel(record: RunRecord): Promise<BestModel | undefined> {
  const best = await record.best();
  return best && { step: best.step, score: best.score, model_path: join(best.folder, "model") };
}

async function* evaluateAt(
  loop: Loop,
  step: number,
  signal: AbortSignal,
): AsyncGenerator<ProgressEvent | EvaluatedEvent, number | null> {
  const all: (EvaluatedEvent & { readonly samples: Evaluation["samples"] })[] = [];
  for (const split of loop.splits) {
    const { results, samples } = yield* withPhase(loop.evaluate(split, signal), step, "evaluate", "completions");
    all.push({ type: "evaluated", step, split, results, samples });
  }
  // Recorded together: an interrupted evaluation leaves nothing, and is done again after a resume.
  for (const { samples, ...event } of all) {
    const rows = sampleBatch(samples, { dataset: loop.datasets?.[event.split] ?? "", split: event.split });
    await together(loop.ranks, () => loop.record.evaluated(step, event.split, event.results, rows));
    yield event;
  }
  return all.reduce<number | null>((score, { split, results }) => score ?? loop.score(split, results), null);
}

/** `prune`: older checkpoints may go. */
async function* save(
  loop: Loop,
  at: Position,
  prune: boolean,
): AsyncGenerator<CheckpointEvent, { readonly step: number; readonly path: string } | undefined> {
  const write = (fill: Loop["save"]) => loop.record.checkpoint(at, { bytes: loop.checkpointBytes, fill, prune });
  const path = await saveOnAll(loop.ranks, write, loop.save);
  if (path === null) return undefined;
  yield { type: "checkpoint", step: at.step, path };
  return { step: at.step, path };
}

function interrupted(loop: Loop, step: number, cause: unknown): UserError {
  return new UserError(
    "INTERRUPTED",
    `interrupted after step ${step} of ${loop.steps}`,
    loop.record.folder === null ? "Nothing was kept: the run has no run_folder." : `Go on with: ${loop.command}`,
    { cause },
  );
}

/** Turns a generator's counts into progress events of one phase. */
export async function* withPhase<T>(
  work: AsyncGenerator<Progress, T>,
  step: number,
  phase: Phase,
  unit: string,
): AsyncGenerator<ProgressEvent, T> {
  try {
    for (;;) {
      const next = await work.next();
      if (next.done === true) return next.value;
      yield { type: "progress", step, phase, unit, ...next.value };
    }
  } finally {
    await work.return(undefined as never); // a caller that stops early must free what the work holds
  }
}
