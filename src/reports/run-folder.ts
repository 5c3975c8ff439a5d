import { readFile, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { RecordBatch } from "apache-arrow";
import { type Divergence, UserError } from "../errors.js";
import type { Metrics } from "../pipeline/events.js";
import { type Checkpoint, type Cursor, latestCheckpoint, removeAfter, writeCheckpoint } from "./checkpoints.js";
import { configHash, configYaml, differingKeys } from "./config-file.js";
import { isLeftover, makeFolder, namesIn, sweep, writeAtomically, writing } from "./files.js";
import { writeDiverged } from "./diverged-files.js";
import { type ImageFile, imageStore } from "./image-files.js";
import { isLockFile, lockFolder } from "./lock.js";
import { manifestName, numericsNote } from "./numerics-change.js";
import { openMetricsFile, truncateMetrics } from "./metrics-file.js";
import { rolloutFilesAfter, type RowText, writeRollouts } from "./rollout-files.js";

export interface StepRecord {
  readonly step: number;
  readonly metrics: Metrics;
  /** Absent where there is nothing sampled to keep (sft). */
  readonly trajectories?: RecordBatch | undefined;
  readonly texts?: readonly RowText[] | undefined;
  readonly images?: readonly ImageFile[] | undefined;
}

/** A batch that a step must not learn from, and why. */
export interface DivergedBatch extends Omit<StepRecord, "metrics"> {
  readonly trajectories: RecordBatch;
  readonly divergence: Divergence;
}

/** What a training loop writes to. */
export interface RunRecord extends AsyncDisposable {
  /** null: nothing is kept. */
  readonly folder: string | null;
  /** Where to go on; undefined for a fresh run. */
  readonly resumed: Checkpoint | undefined;
  /** What a person should know about the resume. */
  readonly notes: readonly string[];
  step(record: StepRecord): Promise<void>;
  /** Keeps the batch in diverged/. Returns the path of the Arrow file; a .json of the same name says what was wrong. */
  diverged(batch: DivergedBatch): Promise<string | null>;
  evaluated(step: number, split: string, results: readonly object[]): Promise<void>;
  /** `write` fills model/ and state/ of the checkpoint's folder. Returns the folder. */
  checkpoint(cursor: Omit<Cursor, "config_hash">, write: (folder: string) => Promise<void>): Promise<string | null>;
}

export interface RunFolderOptions {
  readonly folder: string;
  readonly config: object;
  readonly manifest: object;
  readonly resume: boolean;
  readonly keep_last: number;
}

/**
 * Opens a run folder for one process: config.yaml, manifest.json, metrics.jsonl, rollouts/, images/, checkpoints/.
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
      for (const part of [".", "images", "rollouts", "checkpoints"]) await sweep(join(folder, part));
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
  notes: [],
  step: async () => {},
  diverged: async () => null,
  evaluated: async () => {},
  checkpoint: async () => null,
  [Symbol.asyncDispose]: async () => {},
};

async function record(
  { folder, config, keep_last }: RunFolderOptions,
  resumed: Checkpoint | undefined,
  notes: readonly string[],
  unlock: () => Promise<void>,
): Promise<RunRecord> {
  const metrics_file = await openMetricsFile(join(folder, "metrics.jsonl"));
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
    notes,
    step: ({ step, metrics, trajectories, texts, images }) =>
      keeping(async () => {
        if (images !== undefined) await storeImages(images);
        if (trajectories !== undefined) await writeRollouts(join(folder, "rollouts"), step, trajectories, texts);
        await metrics_file.append({ type: "step", step, ...metrics });
      }),
    diverged: ({ step, trajectories, texts, images, divergence }) =>
      keeping(async () => {
        if (images !== undefined) await storeImages(images);
        return writeDiverged(join(folder, "diverged"), { step, trajectories, texts, divergence });
      }),
    evaluated: (step, split, results) =>
      keeping(() => metrics_file.append({ type: "evaluated", step, split, results })),
    checkpoint: (cursor, write) =>
      keeping(async () => {
        await metrics_file.sync();
        return writeCheckpoint(join(folder, "checkpoints"), { ...cursor, config_hash }, keep_last, write);
      }),
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

async function differingFrom(file: string, config: object): Promise<readonly string[]> {
  try {
    return differingKeys(await readFile(file, "utf8"), config);
  } catch (cause) {
    throw new UserError(
      "CONFIG_INVALID",
      `${file} cannot be read: ${(cause as Error).message}`,
      "Write the run's config there again (the one it was started with), or start a new run_folder.",
      { cause },
    );
  }
}

/** Back to the latest checkpoint, or to the start if there is none. */
async function rewind({ folder, config }: RunFolderOptions): Promise<Checkpoint | undefined> {
  const differing = await differingFrom(join(folder, "config.yaml"), config);
  if (differing.length > 0)
    throw new UserError(
      "CONFIG_INVALID",
      `the run in ${folder} was started with another config:\n${differing.map((line) => `  ${line}`).join("\n")}`,
      "Resume with the old values (they are in its config.yaml), or start a new run_folder.",
    );
  const checkpoints = join(folder, "checkpoints");
  const checkpoint = await latestCheckpoint(checkpoints);
  const step = checkpoint?.cursor.step ?? 0;
  await removeAfter(checkpoints, checkpoint === undefined ? -1 : step);
  await truncateMetrics(join(folder, "metrics.jsonl"), step, checkpoint?.cursor.evaluated ?? false);
  const rollouts = join(folder, "rollouts");
  for (const name of await rolloutFilesAfter(rollouts, step)) await rm(join(rollouts, name), { force: true });
  return checkpoint;
}
