import type { Batch } from "./prompt.js";

/**
 * One row per completion, in (prompt, sample) order. The three lists have one entry per token of
 * prompt + completion:
 *   prompt_id        int64
 *   sample_index     int32          0 .. completions_per_prompt - 1
 *   sample_id        utf8
 *   policy_version   int32          optimizer steps taken when it was sampled
 *   image_ids        list<utf8>
 *   token_ids        list<int32>
 *   completion_mask  list<bool>     true = sampled token
 *   rollout_logprobs list<float32>  nats, full vocabulary at the sampling temperature; 0 where the mask is false
 *   sampling_logprobs list<float32> only when top-k or top-p is on: log-probs after the filter
 *   finish_reason    utf8           "stop" or "length"
 */
export type RolloutBatch = Batch<"rollout">;

/**
 * Per token of a rollout batch, aligned with its `token_ids` (0 where the mask is false):
 *   logprobs  list<float32>  nats
 *   entropy   list<float32>  nats, of the full next-token distribution
 */
export type Scores = Batch<"scores">;
