import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.js";
import { makeFolder, namesIn, syncFolder, syncTree, writeAtomically } from "./files.js";

/** Where a run stands after a finished step; with the engine's state, all that a resume needs. */
export interface Cursor {
  /** Steps finished. */
  readonly step: number;
  /** The data stream's own cursor. */
  readonly data: unknown;
  /** Whether the evaluation that is due at this step has been written. */
  readonly evaluated: boolean;
  readonly config_hash: string;
}

export interface Checkpoint {
  readonly folder: string;
  readonly cursor: Cursor;
}

const nameOf = (step: number): string => `step-${String(step).padStart(6, "0")}`;
const pattern = /^step-(\d{6,})$/;

/**
 * Writes checkpoints/step-000010/ in full or not at all: a temporary folder, flushed to disk, then renamed; then the
 * pointer `latest`. `write` fills the folder.
 */
export async function writeCheckpoint(
  root: string,
  cursor: Cursor,
  keep_last: number,
  write: (folder: string) => Promise<void>,
): Promise<string> {
  await makeFolder(root);
  const name = nameOf(cursor.step);
  const temporary = join(root, `.tmp-${name}-${process.pid}`);
  await rm(temporary, { recursive: true, force: true });
  try {
    await mkdir(temporary);
    await write(temporary);
    await writeAtomically(join(temporary, "cursor.json"), `${JSON.stringify(cursor, null, 2)}\n`);
    await syncTree(temporary);
    await rm(join(root, name), { recursive: true, force: true });
    await rename(temporary, join(root, name));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  await syncFolder(root);
  await writeAtomically(join(root, "latest"), `${name}\n`);
  await prune(root, keep_last);
  return join(root, name);
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

async function prune(root: string, keep_last: number): Promise<void> {
  if (keep_last === 0) return;
  for (const step of (await checkpointSteps(root)).slice(0, -keep_last))
    await rm(join(root, nameOf(step)), { recursive: true, force: true });
}
