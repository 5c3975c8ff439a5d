import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { RecordBatch } from "apache-arrow";
import { type Divergence, UserError } from "../errors.js";
import type { AlarmEvent, Metrics } from "../pipeline/events.js";
import { appendAlarm } from "./alarms-file.js";
import {
  type BestCheckpoint,
  bestCheckpoint,
  type Checkpoint,
  type CheckpointWrite,
  type Cursor,
  type Keep,
  rescoreCheckpoint,
  writeCheckpoint,
} from "./checkpoints.js";
import { writeEvaluation } from "./evaluation-files.js";
import { configHash, configYaml } from "./config-file.js";
import { isLeftover, makeFolder, namesIn, sweep, writeAtomically, writing } from "./files.js";
import { writeDiverged } from "./diverged-files.js";
import { type ImageFile, imageStore } from "./image-files.js";
import { isLockFile, lockFolder } from "./lock.js";
import { openMetricsFile, readMetrics, stepMetrics } from "./metrics-file.js";
import { manifestName, numericsNote } from "./numerics-change.js";
import type { EvaluationPoint } from "./read/metrics-lines.js";
import { readEvaluations } from "./read/metrics-tail.js";
import { rewind } from "./rewind.js";
import { type RowText, writeRollouts } from "./rollout-files.js";

export interface StepRecord {
  readonly step: number;
  readonly metrics: Metrics;
  /** Absent where there is nothing sampled to keep (sft). */
  readonly trajectories?: RecordBatch | undefined;
  readonly texts?: readonly RowText[] | undefined;
  readonly images?: readonly ImageFile[] | undefined;
}

/** A batch that a step must not learn from, as a whole or in part, and why. */
export interface DivergedBatch extends Omit<StepRecord, "metrics"> {
  readonly trajectories: RecordBatch;
  readonly divergences: readonly Divergence[];
}

/** What a training loop writes to. */
export interface RunRecord extends AsyncDisposable {
  /** null: nothing is kept. */
  readonly folder: string | null;
  /** Where to go on; undefined for a fresh run. */
  readonly resumed: Checkpoint | undefined;
  /** Metrics of the steps up to there. */
  history(): Promise<readonly { readonly step: number; readonly metrics: Metrics }[]>;
  /** What a person should know about the resume. */
  readonly notes: readonly string[];
  step(record: StepRecord): Promise<void>;
  /** Keeps the batch in diverged/. Returns the path of the Arrow file; a .json of the same name says what was wrong. */
  diverged(batch: DivergedBatch): Promise<string | null>;
  /** One line of alarms.jsonl. */
  alarm(event: AlarmEvent): Promise<void>;
  /** One line of metrics.jsonl and, with the completions, a file in evaluations/. */
  evaluated(step: number, split: string, results: readonly object[], samples?: RecordBatch): Promise<void>;
  checkpoint(cursor: Omit<Cursor, "config_hash">, write: CheckpointWrite): Promise<string | null>;
  /** Of a checkpoint that was written before its evaluation. */
  evaluatedCheckpoint(cursor: Omit<Cursor, "config_hash">): Promise<void>;
  best(): Promise<BestCheckpoint | undefined>;
  /** All so far, those before a resume too. */
  evaluations(): Promise<readonly EvaluationPoint[]>;
}

export interface RunFolderOptions {
  readonly folder: string;
  readonly config: object;
  readonly manifest: object;
  readonly resume: boolean;
  readonly keep: Keep;
}

/**
 * Opens a run folder for one process: config.yaml, manifest.json, metrics.jsonl, alarms.jsonl, rollouts/, evaluations/, images/,
 * checkpoints/.
 * With `resume`, everything after the latest checkpoint is removed.
 * @throws UserError if the folder is in use, is not empty, or holds a run of another config
 */
export async function openRunFolder(options: RunFolderOptions): Promise<RunRecord> {
  const { folder } = options;
  return writing(folder, async () => {
    if (options.resume) await checkResumable(folder);
    else await checkEmpty(folder);
    await makeFolder(folder);
    const unlock = await lockFolder(folder);
    try {
      if (!options.resume) await checkEmpty(folder); // again: another run may have come and gone meanwhile
      for (const part of [".", "images", "rollouts", "evaluations", "checkpoints"]) await sweep(join(folder, part));
      const resumed = options.resume ? await rewind(options) : undefined;
      await writeAtomically(join(folder, "config.yaml"), configYaml(options.config));
      const step = resumed?.cursor.step;
      const note = step === undefined ? undefined : await numericsNote(folder, step, options.manifest);
      await writeAtomically(join(folder, manifestName(step)), `${JSON.stringify(options.manifest, null, 2)}\n`);
      return await record(options, resumed, note === undefined ? [] : [note], unlock);
    } catch (error) {
      await unlock();
      throw error;
    }
  });
}

/** A record that keeps nothing, for runs without a folder. */
export const noRecord: RunRecord = {
  folder: null,
  resumed: undefined,
  history: async () => [],
  notes: [],
  step: async () => {},
  diverged: async () => null,
  alarm: async () => {},
  evaluated: async () => {},
  checkpoint: async () => null,
  evaluatedCheckpoint: async () => {},
  best: async () => undefined,
  evaluations: async () => [],
  [Symbol.asyncDispose]: async () => {},
};

/** The record of a rank other than the first, which keeps nothing: where to go on is what the first found. */
export const followRun = (
  found: Pick<RunRecord, "folder" | "resumed" | "notes"> & {
    readonly history: Awaited<ReturnType<RunRecord["history"]>>;
  },
): RunRecord => ({ ...noRecord, ...found, history: async () => found.history });

async function record(
  { folder, config, keep }: RunFolderOptions,
  resumed: Checkpoint | undefined,
  notes: readonly string[],
  unlock: () => Promise<void>,
): Promise<RunRecord> {
  const metrics_path = join(folder, "metrics.jsonl");
  const metrics_file = await openMetricsFile(metrics_path);
  const checkpoints = join(folder, "checkpoints");
  const config_hash = configHash(config);
  const storeImages = imageStore(join(folder, "images"));
  let worth_keeping = resumed !== undefined;
  const keeping = <T>(work: () => Promise<T>): Promise<T> =>
    writing(folder, () => {
      worth_keeping = true;
      return work();
    });
  return {
    folder,
    resumed,
    history: async () => (resumed === undefined ? [] : stepMetrics(await readMetrics(metrics_path))),
    notes,
    step: ({ step, metrics, trajectories, texts, images }) =>
      keeping(async () => {
        if (images !== undefined) await storeImages(images);
        if (trajectories !== undefined) await writeRollouts(join(folder, "rollouts"), step, trajectories, texts);
        await metrics_file.append({ type: "step", step, ...metrics });
      }),
    diverged: ({ step, trajectories, texts, images, divergences }) =>
      keeping(async () => {
        if (images !== undefined) await storeImages(images);
        return writeDiverged(join(folder, "diverged"), { step, trajectories, texts, divergences });
      }),
    alarm: (event) => keeping(() => appendAlarm(join(folder, "alarms.jsonl"), event)),
    evaluated: (step, split, results, samples) =>
      keeping(async () => {
        if (samples !== undefined) await writeEvaluation(join(folder, "evaluations"), step, split, samples);
        await metrics_file.append({ type: "evaluated", step, split, results });
      }),
    checkpoint: (cursor, write) =>
      keeping(async () => {
        await metrics_file.sync();
        return writeCheckpoint(checkpoints, { ...cursor, config_hash }, keep, write);
      }),
    evaluatedCheckpoint: (cursor) => keeping(() => rescoreCheckpoint(checkpoints, { ...cursor, config_hash })),
    best: () => bestCheckpoint(checkpoints),
    evaluations: () => readEvaluations(metrics_path),
    [Symbol.asyncDispose]: async () => {
      await metrics_file[Symbol.asyncDispose]();
      // A run that fails before its first result leaves nothing behind, so that it can be started again as it is.
      if (!worth_keeping)
        for (const name of ["config.yaml", "manifest.json", "metrics.jsonl"])
          await rm(join(folder, name), { force: true });
      await unlock();
      if (!worth_keeping) await rmdir(folder).catch(() => {});
    },
  };
}

async function checkEmpty(folder: string): Promise<void> {
  if ((await namesIn(folder)).every((name) => isLockFile(name) || isLeftover(name))) return;
  throw new UserError(
    "RUN_FOLDER_IN_USE",
    `${folder} is not empty`,
    "Choose another run_folder, or go on with the run in it by --resume.",
  );
}

async function checkResumable(folder: string): Promise<void> {
  if ((await namesIn(folder)).includes("config.yaml")) return;
  throw new UserError(
    "FILE_NOT_FOUND",
    `${folder} holds no run to resume (no config.yaml)`,
    "Check --run-folder, or start the run without --resume.",
  );
}
