import { open, rename } from "node:fs/promises";
import { join } from "node:path";
import { RecordBatchFileWriter, type RecordBatch } from "apache-arrow";
import { utf8Column, withColumns } from "../batches/columns.js";
import { makeFolder, namesIn } from "./files.js";
import { rolloutName, rolloutStep } from "./rollout-names.js";

/** Texts of one trajectory, for people; the run itself never reads them back. */
export interface RowText {
  readonly prompt: string;
  readonly completion: string;
  readonly answer: string;
}

/** One Arrow IPC file a step: the trajectory's columns and, given texts, `prompt`, `completion`, `answer` (utf8). */
export async function writeRollouts(
  folder: string,
  step: number,
  trajectories: RecordBatch,
  texts: readonly RowText[] | undefined,
): Promise<string> {
  if (texts !== undefined && texts.length !== trajectories.numRows)
    throw new Error(`${texts.length} texts, ${trajectories.numRows} rows`);
  const batch =
    texts === undefined
      ? trajectories
      : withColumns(trajectories, {
          prompt: utf8Column(texts.map((text) => text.prompt)),
          completion: utf8Column(texts.map((text) => text.completion)),
          answer: utf8Column(texts.map((text) => text.answer)),
        });
  const bytes = RecordBatchFileWriter.writeAll([batch]).toUint8Array(true);
  const path = join(folder, rolloutName(step));
  const temporary = `${path}.tmp`;
  await makeFolder(folder);
  const handle = await open(temporary, "w");
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
  return path;
}

/** Names of the files after `step`: what a resume removes. */
export async function rolloutFilesAfter(folder: string, step: number): Promise<readonly string[]> {
  return (await namesIn(folder)).filter((name) => (rolloutStep(name) ?? 0) > step);
}
