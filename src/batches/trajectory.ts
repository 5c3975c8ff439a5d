import type { Batch } from "./prompt.js";

/**
 * A rollout batch ready to learn from; its columns plus:
 *   policy_logprobs     list<float32>   old log-probs: recorded while sampling, or scored again
 *   reference_logprobs  list<float32>   only when the reference was scored
 *   reward              float32         weighted sum
 *   reward_breakdown    struct<float32> the parts, before weights
 *   advantages          list<float32>   0 where the mask is false
 */
export type TrajectoryBatch = Batch<"trajectory">;
