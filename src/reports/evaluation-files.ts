import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type RecordBatch, RecordBatchFileWriter } from "apache-arrow";
import { makeFolder, namesIn, writeAtomically } from "./files.js";

const pattern = /^step-(\d{6,})-.+\.arrow$/;

/** One Arrow IPC file an evaluation of a split: a row a completion. */
export async function writeEvaluation(
  folder: string,
  step: number,
  split: string,
  samples: RecordBatch,
): Promise<void> {
  await makeFolder(folder);
  await writeArrow(join(folder, `step-${String(step).padStart(6, "0")}-${split}.arrow`), samples);
}

/** The whole file or none of it. */
export const writeArrow = (path: string, batch: RecordBatch): Promise<void> =>
  writeAtomically(path, RecordBatchFileWriter.writeAll([batch]).toUint8Array(true));

/** Removes what a resume does again: evaluations after `step`, and with `again` the one at it. */
export async function removeEvaluationsAfter(folder: string, step: number, again: boolean): Promise<void> {
  for (const name of await namesIn(folder)) {
    const at = Number(pattern.exec(name)?.[1] ?? -1);
    if (at > step || (again && at === step)) await rm(join(folder, name), { force: true });
  }
}
