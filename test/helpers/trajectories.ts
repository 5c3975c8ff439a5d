import {
  boolColumn,
  float32Column,
  int32Column,
  int64Column,
  listColumn,
  recordBatch,
  utf8Column,
  utf8ListColumn,
  withColumns,
} from "../../src/batches/columns.js";
import type { RolloutBatch } from "../../src/batches/rollout.js";
import type { TrajectoryBatch } from "../../src/batches/trajectory.js";

export interface Row {
  readonly prompt_id: number;
  readonly prompt: Int32Array;
  readonly completion: Int32Array;
  readonly image_ids: readonly string[];
  readonly sample_index?: number;
}

function offsetsOf(rows: readonly Row[]): Int32Array {
  const offsets = new Int32Array(rows.length + 1);
  rows.forEach((row, i) => (offsets[i + 1] = offsets[i]! + row.prompt.length + row.completion.length));
  return offsets;
}

/** One value per completion token, aligned with the batch's flat tokens; 0 on prompts. */
export function alignedFloats(rows: readonly Row[], values: (row: number, token: number) => number): Float32Array {
  const offsets = offsetsOf(rows);
  const flat = new Float32Array(offsets[rows.length]!);
  rows.forEach((row, i) =>
    row.completion.forEach((_, token) => (flat[offsets[i]! + row.prompt.length + token] = values(i, token))),
  );
  return flat;
}

/** The completion tokens' values of a flat column, row by row. */
export function completionValues(rows: readonly Row[], flat: Float32Array): readonly Float32Array[] {
  const offsets = offsetsOf(rows);
  return rows.map((row, i) => flat.subarray(offsets[i]! + row.prompt.length, offsets[i + 1]));
}

/** A rollout batch of given completions, as if they had been sampled with these log-probs. */
export function rolloutOf(rows: readonly Row[], rollout_logprobs?: Float32Array): RolloutBatch {
  const offsets = offsetsOf(rows);
  const total = offsets[rows.length]!;
  const token_ids = new Int32Array(total);
  const bits = new Uint8Array(Math.ceil(total / 8));
  rows.forEach((row, i) => {
    token_ids.set(row.prompt, offsets[i]);
    token_ids.set(row.completion, offsets[i]! + row.prompt.length);
    for (let at = offsets[i]! + row.prompt.length; at < offsets[i + 1]!; at++) bits[at >> 3]! |= 1 << (at & 7);
  });
  return recordBatch(
    {
      prompt_id: int64Column(BigInt64Array.from(rows, (row) => BigInt(row.prompt_id))),
      sample_index: int32Column(Int32Array.from(rows, (row) => row.sample_index ?? 0)),
      sample_id: utf8Column(rows.map((row) => `${row.prompt_id}`)),
      policy_version: int32Column(new Int32Array(rows.length)),
      image_ids: utf8ListColumn(rows.map((row) => row.image_ids)),
      token_ids: listColumn(offsets, int32Column(token_ids)),
      completion_mask: listColumn(offsets, boolColumn(bits, total)),
      rollout_logprobs: listColumn(offsets, float32Column(rollout_logprobs ?? new Float32Array(total))),
      finish_reason: utf8Column(rows.map(() => "stop")),
    },
    rows.length,
  ) as RolloutBatch;
}

export function trajectoriesOf(
  rows: readonly Row[],
  columns: { policy_logprobs: Float32Array; reference_logprobs: Float32Array; advantages: Float32Array },
): TrajectoryBatch {
  const offsets = offsetsOf(rows);
  const perToken = (values: Float32Array) => listColumn(offsets, float32Column(values));
  return withColumns(rolloutOf(rows), {
    policy_logprobs: perToken(columns.policy_logprobs),
    reference_logprobs: perToken(columns.reference_logprobs),
    advantages: perToken(columns.advantages),
  }) as TrajectoryBatch;
}
