import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.js";
import { verifyCheckpoint } from "./checkpoint-files.js";
import { checkRoom } from "./free-space.js";
import { makeFolder, namesIn, syncFolder, syncTree, writeAtomically } from "./files.js";

/** Where a run stands after a finished step; with the engine's state, all that a resume needs. */
export interface Cursor {
  /** Steps finished. */
  readonly step: number;
  /** The data stream's own cursor. */
  readonly data: unknown;
  /** Whether the evaluation that is due at this step has been written. */
  readonly evaluated: boolean;
  /** The evaluation at this step by which checkpoints are compared (checkpoint.best_by); null where there is none. */
  readonly score: number | null;
  readonly config_hash: string;
}

/** What a new checkpoint leaves of the others. */
export interface Keep {
  /** The newest; 0 keeps all. */
  readonly last: number;
  /** Those with the highest scores, besides. */
  readonly best: number;
}

export interface CheckpointWrite {
  /** Bytes that `fill` is going to write, at most. */
  readonly bytes: () => Promise<number>;
  /** Fills the checkpoint's folder with model/ and state/. */
  readonly fill: (folder: string) => Promise<void>;
  /** Whether older checkpoints may go. */
  readonly prune: boolean;
}

export interface Checkpoint {
  readonly folder: string;
  readonly cursor: Cursor;
}

const nameOf = (step: number): string => `step-${String(step).padStart(6, "0")}`;
const pattern = /^step-(\d{6,})$/;

/**
 * Writes checkpoints/step-000010/ in full or not at all: a temporary folder, flushed to disk and looked through, then
 * renamed; then the pointers `latest` and `best`. Only then older ones go.
 * @throws UserError FILE_NOT_WRITABLE before anything is written if the disk has less room than it takes
 */
export async function writeCheckpoint(
  root: string,
  cursor: Cursor,
  keep: Keep,
  { bytes, fill, prune }: CheckpointWrite,
): Promise<string> {
  await makeFolder(root);
  const name = nameOf(cursor.step);
  const temporary = join(root, `.tmp-${name}-${process.pid}`);
  await rm(temporary, { recursive: true, force: true });
  await checkRoom(join(root, name), await bytes());
  try {
    await mkdir(temporary);
    await fill(temporary);
    await writeAtomically(join(temporary, "cursor.json"), `${JSON.stringify(cursor, null, 2)}\n`);
    await syncTree(temporary);
    await verifyCheckpoint(temporary);
    await remove(root, name);
    await rename(temporary, join(root, name));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  await syncFolder(root);
  await writeAtomically(join(root, "latest"), `${name}\n`);
  await pointToBest(root);
  if (prune) await pruneOthers(root, keep);
  return join(root, name);
}

/** Writes into a checkpoint what its evaluation, made later, has said. */
export async function rescoreCheckpoint(root: string, cursor: Cursor): Promise<void> {
  const folder = join(root, nameOf(cursor.step));
  await writeAtomically(join(folder, "cursor.json"), `${JSON.stringify(cursor, null, 2)}\n`);
  await pointToBest(root);
}

/** Steps of all complete checkpoints, ascending. */
export async function checkpointSteps(root: string): Promise<readonly number[]> {
  return (await namesIn(root))
    .flatMap((name) => pattern.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** The checkpoint that `latest` names, or the highest one if the pointer is missing; undefined if there is none. */
export async function latestCheckpoint(root: string): Promise<Checkpoint | undefined> {
  const steps = await checkpointSteps(root);
  let pointed: string | undefined;
  try {
    pointed = (await readFile(join(root, "latest"), "utf8")).trim();
  } catch {
    // a crash between the first rename and the pointer: the folder itself is complete
  }
  const step = steps.find((candidate) => nameOf(candidate) === pointed) ?? steps.at(-1);
  if (step === undefined) return undefined;
  const folder = join(root, nameOf(step));
  const file = join(folder, "cursor.json");
  const invalid = (what: string, cause?: unknown): UserError =>
    new UserError(
      "CHECKPOINT_INVALID",
      `${file} cannot be read: ${what}`,
      `Delete ${folder} to go on from the checkpoint before it.`,
      { cause },
    );
  let cursor: Partial<Cursor> | null;
  try {
    cursor = JSON.parse(await readFile(file, "utf8")) as Partial<Cursor> | null;
  } catch (cause) {
    throw invalid((cause as Error).message, cause);
  }
  if (cursor?.step !== step || typeof cursor.evaluated !== "boolean" || !("data" in cursor))
    throw invalid(`it is not the cursor of step ${step}`);
  return { folder, cursor: cursor as Cursor };
}

/** Removes what a resume from `step` must not see: later checkpoints, and folders that a crash left half written. */
export async function removeAfter(root: string, step: number): Promise<void> {
  for (const name of await namesIn(root)) {
    const found = pattern.exec(name);
    if (name.startsWith(".tmp-") || (found !== null && Number(found[1]) > step))
      await rm(join(root, name), { recursive: true, force: true });
  }
}

/** Steps with a score, best first; of two equal scores the earlier step. */
async function scores(root: string): Promise<readonly { readonly step: number; readonly score: number }[]> {
  const all = await Promise.all(
    (await checkpointSteps(root)).map(async (step) => ({ step, score: await scoreOf(join(root, nameOf(step))) })),
  );
  return all
    .flatMap(({ step, score }) => (score === undefined ? [] : [{ step, score }]))
    .sort((a, b) => b.score - a.score || a.step - b.step);
}

async function scoreOf(folder: string): Promise<number | undefined> {
  try {
    const cursor = JSON.parse(await readFile(join(folder, "cursor.json"), "utf8")) as Partial<Cursor> | null;
    return typeof cursor?.score === "number" ? cursor.score : undefined;
  } catch {
    return undefined; // damaged: not the best of anything
  }
}

export interface BestCheckpoint {
  readonly step: number;
  readonly score: number;
  readonly folder: string;
}

/** The checkpoint with the highest score, the earlier one of two equal ones; undefined if none has a score. */
export async function bestCheckpoint(root: string): Promise<BestCheckpoint | undefined> {
  const [best] = await scores(root);
  return best && { ...best, folder: join(root, nameOf(best.step)) };
}

async function pointToBest(root: string): Promise<void> {
  const [best] = await scores(root);
  if (best !== undefined) await writeAtomically(join(root, "best"), `${nameOf(best.step)}\n`);
}

async function pruneOthers(root: string, keep: Keep): Promise<void> {
  if (keep.last === 0) return;
  const best = new Set((await scores(root)).slice(0, keep.best).map(({ step }) => step));
  for (const step of (await checkpointSteps(root)).slice(0, -keep.last))
    if (!best.has(step)) await remove(root, nameOf(step));
}

/** Renamed first: a crash must not leave half a checkpoint that looks like one. */
async function remove(root: string, name: string): Promise<void> {
  const doomed = join(root, `.tmp-removed-${name}-${process.pid}`);
  try {
    await rename(join(root, name), doomed);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  await rm(doomed, { recursive: true, force: true });
}
