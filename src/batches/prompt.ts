import type { RecordBatch } from "apache-arrow";
import { int32Column, int64Column, listColumn, offsetsOf, recordBatch, utf8Column, utf8ListColumn } from "./columns.js";

declare const step: unique symbol;
/** An Arrow record batch stamped with the step that produced it. Immutable: a step returns a new one. */
export type Batch<Step extends string> = RecordBatch & { readonly [step]: Step };

/**
 * One row per prompt:
 *   prompt_id  int64        position of the prompt in the run's data stream; unique in a run, key of the random draws
 *   sample_id  utf8         the dataset's own id
 *   token_ids  list<int32>  chat template applied, image placeholders expanded
 *   image_ids  list<utf8>   content hashes, in the order of their placeholders
 */
export type PromptBatch = Batch<"prompt">;

export interface PromptRow {
  readonly prompt_id: number;
  readonly sample_id: string;
  readonly token_ids: Int32Array;
  readonly image_ids: readonly string[];
}

export function promptBatch(rows: readonly PromptRow[]): PromptBatch {
  const offsets = offsetsOf(rows.map((row) => row.token_ids));
  const tokens = new Int32Array(offsets[rows.length]!);
  rows.forEach((row, i) => tokens.set(row.token_ids, offsets[i]));
  return recordBatch(
    {
      prompt_id: int64Column(BigInt64Array.from(rows, (row) => BigInt(row.prompt_id))),
      sample_id: utf8Column(rows.map((row) => row.sample_id)),
      token_ids: listColumn(offsets, int32Column(tokens)),
      image_ids: utf8ListColumn(rows.map((row) => row.image_ids)),
    },
    rows.length,
  ) as PromptBatch;
}
