import type { RecordBatch } from "apache-arrow";
import type { Divergence } from "../errors.js";
import { writeAtomically } from "./files.js";
import { type RowText, writeRollouts } from "./rollout-files.js";

/** step-000007.arrow as in rollouts/, and step-000007.json: the divergence. Numbers that JSON lacks stand as text. */
export async function writeDiverged(
  folder: string,
  batch: {
    readonly step: number;
    readonly trajectories: RecordBatch;
    readonly texts: readonly RowText[] | undefined;
    readonly divergence: Divergence;
  },
): Promise<string> {
  const { step, trajectories, texts, divergence } = batch;
  const path = await writeRollouts(folder, step, trajectories, texts);
  const readable = (_: string, value: unknown): unknown =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  await writeAtomically(path.replace(/\.arrow$/, ".json"), `${JSON.stringify({ step, ...divergence }, readable, 2)}\n`);
  return path;
}
