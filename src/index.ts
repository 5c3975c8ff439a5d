/** The public API. Everything else may change without notice. */
export type { PromptBatch, PromptRow } from "./batches/prompt.js";
export { promptBatch } from "./batches/prompt.js";
export type { RolloutBatch, Scores } from "./batches/rollout.js";
export type { ChatTurn, ImageSource, Sample } from "./batches/sample.js";
export type { TrajectoryBatch } from "./batches/trajectory.js";
export type { TrainConfig } from "./config/schema.js";
export type * from "./engine/engine.js";
export { openEngine } from "./engine/native-engine.js";
export { type Divergence, DivergenceError, USER_ERROR_CODES, UserError, type UserErrorCode } from "./errors.js";
export { evaluate, type EvaluateOptions, type EvaluationSetting } from "./evaluate/evaluate.js";
export type { EvaluationResult } from "./evaluate/result.js";
export { loadProcessor, type Processor, type PromptOptions } from "./pipeline/data/processor.js";
export { buildPrompts, type BuildPromptsOptions } from "./pipeline/data/prompts.js";
export type { IndexedSamples, SampleSource, StreamedSample } from "./pipeline/data/stream.js";
export type * from "./pipeline/events.js";
export { train, type Training, type TrainRequest } from "./pipeline/request.js";
export type { RewardFunction, WeightedReward } from "./rewards/grader.js";
export type { RewardInput } from "./rewards/reward.js";
