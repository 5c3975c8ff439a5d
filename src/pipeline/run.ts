import { dynamicSamplingOf, needsReference } from "../config/algorithms.js";
import { withHashes } from "../config/rewards.js";
import type { SftConfig, TrainConfig } from "../config/schema.js";
import { UserError } from "../errors.js";
import { alone } from "../ranks/ranks.js";
import { type Grader, openGrader, type RewardSpec } from "../rewards/grader.js";
import { openTrackers } from "../trackers/open.js";
import { tracked } from "../trackers/tracked.js";
import { engineAlgorithm } from "./engine-algorithm.js";
import type { TrainEvent } from "./events.js";
import { openRun, type RunOptions } from "./open-run.js";
import { sft, solutionTokens } from "./sft.js";
import { train, type TrainRun } from "./train.js";
import type { ParityOptions } from "./trajectory/assemble.js";
import { resolveLimits } from "./trajectory/parity.js";

export interface TrainOptions extends RunOptions {
  /** In place of the config's `rewards`. */
  readonly rewards?: readonly RewardSpec[] | undefined;
}

/** Reinforcement learning as a config describes it, from opening the model to the last checkpoint. */
export async function* runTrain(
  config: TrainConfig,
  options: TrainOptions,
  signal: AbortSignal,
): AsyncGenerator<TrainEvent> {
  await using grader = await openGrader(options.rewards ?? namedRewards(config), {
    timeout_ms: config.reward_timeout_ms,
    workers: config.reward_workers,
  });
  const trackers = await trackersOf(config, options);
  yield* tracked(trainEvents(config, grader, options, signal), trackers, config);
}

/** Opening comes with the events: trackers hear that the run is over when it fails, too. */
async function* trainEvents(
  config: TrainConfig,
  grader: Grader,
  options: TrainOptions,
  signal: AbortSignal,
): AsyncGenerator<TrainEvent> {
  const { algorithm, sampling, completions_per_prompt, old_logprobs } = config;
  const { max_completion_tokens, max_concurrent_completions, kv_block_size } = sampling;
  const with_reference = needsReference(algorithm);
  const needs = {
    algorithm: engineAlgorithm(algorithm, max_completion_tokens),
    ...{ with_reference, reference_path: config.reference.path, offload_reference: config.reference.offload },
    update_epochs: config.update_epochs,
    ...{ max_completion_tokens, max_concurrent_completions, kv_block_size },
  };
  const rewards = withHashes(
    config.rewards,
    grader.modules.map(({ sha256 }) => sha256),
  );
  await using run = await openRun({ ...config, rewards }, needs, options, signal);
  const { engine, ranks, processor, loop, num_items, max_consecutive_skips } = run;
  yield* train(
    {
      parity: parityOf(config, (loop.record.resumed?.cursor.step ?? 0) + 1),
      ...{
        max_consecutive_skips,
        engine,
        ranks,
        loop,
        num_items,
        completions_per_prompt,
        old_logprobs,
        with_reference,
      },
      draw: run.draw,
      dynamic_sampling: dynamicSampling(config),
      kl_reward_clamp: algorithm.kl_reward_coefficient > 0 ? algorithm.log_ratio_clamp : undefined,
      sampling: (step) => ({
        ...sampling,
        ...{ stop_token_ids: processor.stop_token_ids, seed: config.seed, step, stream: false },
      }),
      decode: (ids) => processor.decode(ids, { skip_special_tokens: true }),
      grade:
        (drawn, stop) =>
        (prompt_id, completion, { finish_reason, token_ids }) => {
          const sample = drawn.sample(prompt_id);
          const input = {
            ...{ completion, sample, prompt: drawn.promptText(prompt_id), answer: sample.answer },
            finish_reason: finish_reason ?? "length",
            token_count: token_ids.length,
            max_completion_tokens,
          };
          return grader.grade(input, stop);
        },
      optimizer_steps_per_step: run.arithmetic.optimizer_steps_per_step,
    },
    signal,
  );
}

/** Rank 0 speaks for all. */
const trackersOf = ({ trackers, run_folder }: TrainConfig | SftConfig, { ranks = alone }: RunOptions) =>
  openTrackers(ranks.rank === 0 ? trackers : [], run_folder);

/** The run's first step and, on other days or machines, that of a resumed one must pass; later ones are only watched. */
const parityOf = ({ parity, model }: TrainConfig, first_step: number): ((step: number) => ParityOptions) => {
  const { every_steps, prompts } = parity;
  const limits = resolveLimits(parity, model.dtype);
  return (step) => ({
    limits,
    gate: step === first_step,
    report: step === 1 || (every_steps > 0 && step % every_steps === 0),
    part: step === 1 ? undefined : { first: step * prompts, prompts },
  });
};

function dynamicSampling({ algorithm, prompts_per_step }: TrainConfig): TrainRun["dynamic_sampling"] {
  const options = dynamicSamplingOf(algorithm);
  return options && { prompts_per_step, max_prompts: Math.floor(prompts_per_step * options.max_prompts_factor) };
}

/** @throws UserError for `custom`: a file cannot say what a function computes. */
export const namedRewards = (config: TrainConfig): readonly RewardSpec[] =>
  config.rewards.map((reward) => {
    if ("module" in reward || reward.name !== "custom") return reward;
    throw new UserError(
      "CONFIG_INVALID",
      `reward ${reward.function} was given by a program`,
      "Resume such a run from that program, or name rewards that a file can describe.",
    );
  });

/** Supervised fine-tuning as a config describes it. */
export async function* runSft(config: SftConfig, options: RunOptions, signal: AbortSignal): AsyncGenerator<TrainEvent> {
  const trackers = await trackersOf(config, options);
  yield* tracked(sftEvents(config, options, signal), trackers, config);
}

async function* sftEvents(config: SftConfig, options: RunOptions, signal: AbortSignal): AsyncGenerator<TrainEvent> {
  const { max_completion_tokens, max_concurrent_completions, loss_aggregation } = config;
  const needs = {
    algorithm: { name: "supervised" as const, loss_aggregation, max_completion_tokens },
    ...{ with_reference: false, reference_path: null, update_epochs: 1 },
    ...{ max_completion_tokens, max_concurrent_completions, kv_block_size: 16 },
  };
  await using run = await openRun(config, needs, options, signal);
  const { engine, ranks, processor, loop, num_items, max_consecutive_skips } = run;
  yield* sft(
    {
      ...{ max_consecutive_skips, engine, ranks, loop, num_items },
      draw: run.draw,
      solutions: (drawn) => solutionTokens(processor, drawn, max_completion_tokens),
      optimizer_steps_per_step: run.arithmetic.optimizer_steps_per_step,
    },
    signal,
  );
}
