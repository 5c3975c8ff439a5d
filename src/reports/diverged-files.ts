import type { RecordBatch } from "apache-arrow";
import type { Divergence } from "../errors.js";
import { writeAtomically } from "./files.js";
import { type RowText, writeRollouts } from "./rollout-files.js";

/** step-000007.arrow as in rollouts/, and step-000007.json: its bad minibatches. Numbers that JSON lacks stand as text. */
export async function writeDiverged(
  folder: string,
  batch: {
    readonly step: number;
    readonly trajectories: RecordBatch;
    readonly texts: readonly RowText[] | undefined;
    readonly divergences: readonly Divergence[];
  },
): Promise<string> {
  const { step, trajectories, texts, divergences } = batch;
  const path = await writeRollouts(folder, step, trajectories, texts);
  const readable = (_: string, value: unknown): unknown =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  await writeAtomically(path.replace(/\.arrow$/, ".json"), `${JSON.stringify({ step, divergences }, readable, 2)}\n`);
  return path;
}
