import { type RecordBatch } from "apache-arrow";
import {
  boolColumn,
  columnData,
  flatValues,
  float32Column,
  int32Column,
  int64Column,
  listColumn,
  listValues,
  recordBatch,
  stringLists,
  utf8Column,
  utf8ListColumn,
} from "../batches/columns.js";
import type { PromptBatch } from "../batches/prompt.js";
import type { RolloutBatch, Scores } from "../batches/rollout.js";
import type { TrajectoryBatch } from "../batches/trajectory.js";
import type { CollectedColumns, PromptColumns, RolloutColumns, TrajectoryColumns } from "./addon.js";

/** Arrow batches <-> the plain typed arrays that the addon reads and writes, without a copy. */

/** Offsets and values of a list column, both from 0: the addon reads whole arrays. A sliced batch is copied. */
function flatList<T extends Int32Array | Float32Array>(
  batch: RecordBatch,
  name: string,
): { offsets: Int32Array; values: T } {
  const { offsets, values } = listValues<T>(batch, name);
  const begin = offsets[0] ?? 0;
  const end = offsets[offsets.length - 1] ?? 0;
  return {
    offsets: begin === 0 ? offsets : offsets.map((offset) => offset - begin),
    values: values.subarray(begin, end) as T,
  };
}

function packedBits(batch: RecordBatch, name: string): Uint8Array {
  const data = columnData(batch, name);
  const child = data.children[0]!;
  const offsets = data.valueOffsets as Int32Array;
  const begin = offsets[0]!;
  if (begin === 0 && child.offset === 0) return child.values as Uint8Array;
  const end = offsets[data.length]!;
  const bits = new Uint8Array(Math.ceil((end - begin) / 8));
  const source = child.values as Uint8Array;
  for (let i = begin; i < end; i++) {
    const at = i + child.offset;
    if ((source[at >> 3]! >> (at & 7)) & 1) bits[(i - begin) >> 3]! |= 1 << ((i - begin) & 7);
  }
  return bits;
}

export function promptColumns(batch: PromptBatch): PromptColumns {
  const { offsets, values } = flatList<Int32Array>(batch, "token_ids");
  return {
    prompt_id: flatValues<BigInt64Array>(batch, "prompt_id"),
    token_ids: values,
    offsets,
    image_ids: stringLists(batch, "image_ids"),
  };
}

export function rolloutColumns(batch: RolloutBatch | TrajectoryBatch): RolloutColumns {
  const { offsets, values } = flatList<Int32Array>(batch, "token_ids");
  return {
    prompt_id: flatValues<BigInt64Array>(batch, "prompt_id"),
    sample_index: flatValues<Int32Array>(batch, "sample_index"),
    policy_version: flatValues<Int32Array>(batch, "policy_version"),
    token_ids: values,
    offsets,
    completion_mask: packedBits(batch, "completion_mask"),
    rollout_logprobs: tokenFloats(batch, "rollout_logprobs"),
    image_ids: stringLists(batch, "image_ids"),
  };
}

export const tokenFloats = (batch: RecordBatch, name: string): Float32Array =>
  flatList<Float32Array>(batch, name).values;

export const hasColumn = (batch: RecordBatch, name: string): boolean =>
  batch.schema.fields.some((field) => field.name === name);

export function trajectoryColumns(batch: TrajectoryBatch): TrajectoryColumns {
  return {
    ...rolloutColumns(batch),
    policy_logprobs: tokenFloats(batch, "policy_logprobs"),
    reference_logprobs: hasColumn(batch, "reference_logprobs") ? tokenFloats(batch, "reference_logprobs") : null,
    advantages: tokenFloats(batch, "advantages"),
  };
}

export function rolloutBatch(columns: CollectedColumns, sample_ids: readonly string[]): RolloutBatch {
  const { offsets, token_ids } = columns;
  const perToken = (values: Float32Array) => listColumn(offsets, float32Column(values));
  return recordBatch(
    {
      prompt_id: int64Column(columns.prompt_id),
      sample_index: int32Column(columns.sample_index),
      sample_id: utf8Column(sample_ids),
      policy_version: int32Column(columns.policy_version),
      image_ids: utf8ListColumn(columns.image_ids),
      token_ids: listColumn(offsets, int32Column(token_ids)),
      completion_mask: listColumn(offsets, boolColumn(columns.completion_mask, token_ids.length)),
      rollout_logprobs: perToken(columns.rollout_logprobs),
      ...(columns.sampling_logprobs === null ? {} : { sampling_logprobs: perToken(columns.sampling_logprobs) }),
      finish_reason: utf8Column(columns.finish_reason),
    },
    columns.prompt_id.length,
  ) as RolloutBatch;
}

export function scoresBatch(offsets: Int32Array, scores: { logprobs: Float32Array; entropy: Float32Array }): Scores {
  return recordBatch(
    {
      logprobs: listColumn(offsets, float32Column(scores.logprobs)),
      entropy: listColumn(offsets, float32Column(scores.entropy)),
    },
    offsets.length - 1,
  ) as Scores;
}
