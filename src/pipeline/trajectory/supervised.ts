import {
  boolColumn,
  columnData,
  float32Column,
  int32Column,
  listColumn,
  listValues,
  recordBatch,
  utf8Column,
} from "../../batches/columns.js";
import type { PromptBatch } from "../../batches/prompt.js";
import type { TrajectoryBatch } from "../../batches/trajectory.js";

/**
 * Trajectories whose completions are given instead of sampled: `completion_token_ids[row]` follows prompt `row`, stop
 * token included. Log-probs and rewards are 0 and advantages 1 on every completion token: maximum likelihood as a
 * policy gradient, though the engine's `supervised` algorithm reads only tokens and mask.
 */
export function supervisedTrajectories(
  prompts: PromptBatch,
  completion_token_ids: readonly (readonly number[] | Int32Array)[],
): TrajectoryBatch {
  const rows = prompts.numRows;
  if (completion_token_ids.length !== rows)
    throw new Error(`${completion_token_ids.length} completions, ${rows} prompts`);
  const prompt = listValues<Int32Array>(prompts, "token_ids");
  const offsets = new Int32Array(rows + 1);
  for (let row = 0; row < rows; row++)
    offsets[row + 1] =
      offsets[row]! + prompt.offsets[row + 1]! - prompt.offsets[row]! + completion_token_ids[row]!.length;

  const num_tokens = offsets[rows]!;
  const tokens = new Int32Array(num_tokens);
  const mask = new Uint8Array(Math.ceil(num_tokens / 8));
  const advantages = new Float32Array(num_tokens);
  for (let row = 0; row < rows; row++) {
    const given = prompt.values.subarray(prompt.offsets[row], prompt.offsets[row + 1]);
    tokens.set(given, offsets[row]);
    tokens.set(completion_token_ids[row]!, offsets[row]! + given.length);
    for (let i = offsets[row]! + given.length; i < offsets[row + 1]!; i++) {
      mask[i >> 3]! |= 1 << (i & 7);
      advantages[i] = 1;
    }
  }
  const zeros = () => listColumn(offsets, float32Column(new Float32Array(num_tokens)));
  return recordBatch(
    {
      prompt_id: columnData(prompts, "prompt_id"),
      sample_index: int32Column(new Int32Array(rows)),
      sample_id: columnData(prompts, "sample_id"),
      policy_version: int32Column(new Int32Array(rows)),
      image_ids: columnData(prompts, "image_ids"),
      token_ids: listColumn(offsets, int32Column(tokens)),
      completion_mask: listColumn(offsets, boolColumn(mask, num_tokens)),
      rollout_logprobs: zeros(),
      finish_reason: utf8Column(Array.from({ length: rows }, () => "stop")),
      policy_logprobs: zeros(),
      reward: float32Column(new Float32Array(rows)),
      advantages: listColumn(offsets, float32Column(advantages)),
    },
    rows,
  ) as TrajectoryBatch;
}
