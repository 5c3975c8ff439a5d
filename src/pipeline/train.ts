import type { Engine, SamplingOptions } from "../engine/engine.js";
import { together, type Ranks } from "../ranks/ranks.js";
import type { StepRecord } from "../reports/run-folder.js";
import { type Drawn, rowTexts } from "./draw.js";
import { countedFrom, type DynamicSampling, replaceEqualGroups } from "./dynamic-sampling.js";
import type { TrainEvent } from "./events.js";
import { type Loop, runLoop, withPhase } from "./loop.js";
import { measureReflection } from "./measure-reflection.js";
import { collect, type Collected, type CollectOptions } from "./rollout/collect.js";
import { summarizeGrades } from "./rollout/grade.js";
import { agreeOnMetrics } from "./agree-on-metrics.js";
import { collectedOfAll, ownRows, scorerOfAll } from "./shares.js";
import { stopwatch } from "./stopwatch.js";
import { assemble, type ParityOptions } from "./trajectory/assemble.js";
import { measureTrajectories } from "./trajectory/measure.js";
import { update } from "./update/update.js";

/** One run of reinforcement learning: what each of its four steps needs. */
export interface TrainRun {
  readonly engine: Engine;
  readonly ranks: Ranks;
  readonly loop: Omit<Loop, "step">;
  readonly draw: (signal: AbortSignal, count?: number) => Promise<Drawn | undefined>;
  /** Whether prompts that teach nothing are replaced; null: no. */
  readonly dynamic_sampling: Pick<DynamicSampling, "prompts_per_step" | "max_prompts"> | null;
  readonly sampling: (step: number) => SamplingOptions;
  readonly completions_per_prompt: number;
  readonly decode: CollectOptions["decode"];
  readonly grade: (drawn: Drawn, signal: AbortSignal) => CollectOptions["grade"];
  readonly old_logprobs: "rollout" | "recompute";
  readonly with_reference: boolean;
  /** How a step compares the sampler's log-probs with the trainer's. */
  readonly parity: (step: number) => ParityOptions;
  /** Minibatches that must not be learned from and are left out in a row before the run ends. */
  readonly max_consecutive_skips: number;
  /** Bound of the log-ratios in the KL reward; undefined without one. */
  readonly kl_reward_clamp?: number | undefined;
  readonly optimizer_steps_per_step: number;
  /** Samples of the training set; undefined where unknown. */
  readonly num_items: number | undefined;
}

/** Trains to the end of the run, or to the first interrupt. */
export const train = (run: TrainRun, signal: AbortSignal): AsyncGenerator<TrainEvent> =>
  runLoop({ ...run.loop, step: (step) => trainStep(run, step, signal) }, signal);

async function* trainStep(
  run: TrainRun,
  step: number,
  signal: AbortSignal,
): AsyncGenerator<TrainEvent, StepRecord | undefined> {
  const { engine, ranks, decode, completions_per_prompt, old_logprobs, with_reference } = run;
  const optimizer_steps = run.optimizer_steps_per_step;
  const sampling = run.sampling(step);
  const { temperature } = sampling;
  const clock = stopwatch();
  const waited = ranks.waitedSeconds();

  // 1 data flow
  const drawn_first = await run.draw(signal);
  if (drawn_first === undefined) return undefined;
  clock.lap("data_seconds");

  // 2 response collection, graded while it is sampled
  const sample = (drawn: Drawn, unit = "completions", before = 0): AsyncGenerator<TrainEvent, Collected> => {
    const grade = run.grade(drawn, signal);
    const collecting = collectedOfAll(ranks, drawn.prompts, drawn.rankOf, (own) =>
      collect(engine, own, { completions_per_prompt, sampling, decode, grade, signal }),
    );
    return withPhase(countedFrom(before, collecting), step, "rollout", unit);
  };
  const first = { drawn: drawn_first, collected: yield* sample(drawn_first), metrics: {} };
  const { drawn, collected, metrics } =
    run.dynamic_sampling === null
      ? first
      : yield* replaceEqualGroups(first, {
          ...{ ...run.dynamic_sampling, step, sample },
          draw: (count) => run.draw(signal, count),
        });
  const { rollouts, rewards, completions, grades, grading_wait_seconds, sampling_margin_min } = collected;
  const grading = summarizeGrades(grades);
  for (const failure of grading.failures) yield { type: "note", message: `step ${step}: ${failure}` };
  clock.lap("rollout_seconds");

  // 3 trajectory generation; the first step proves that sampler and trainer agree
  yield { type: "progress", step, phase: "score", done: 0, total: 1, unit: "batches" };
  const assembling = { temperature, old_logprobs, with_reference, parity: run.parity(step), signal };
  const scorer = scorerOfAll(ranks, engine, drawn.rankOf);
  const { trajectories, mismatch } = await assemble(scorer, rollouts, rewards, assembling);
  clock.lap("trajectory_seconds");

  // 4 policy update; not cancelled: a step that has begun to learn is finished
  await together(ranks, () => signal.throwIfAborted());
  yield { type: "progress", step, phase: "update", done: 0, total: optimizer_steps, unit: "optimizer steps" };
  const batch = { step, trajectories, texts: rowTexts(drawn, rollouts, completions), images: drawn.images };
  const stats = await update(engine, trajectories, {
    temperature,
    own_rows: ownRows(ranks, rollouts, drawn.rankOf),
    max_consecutive_skips: run.max_consecutive_skips,
    keepDiverged: (divergences) => run.loop.record.diverged({ ...batch, divergences }),
  });
  clock.lap("update_seconds");

  await engine.pruneImages([]);
  const { rss_bytes, peak_rss_bytes, peak_device_bytes } = await engine.memory();
  const measured = measureTrajectories(trajectories, rewards, run.kl_reward_clamp);
  const num_tokens = measured["completion_length_mean"]! * trajectories.numRows;
  const prompts_seen = drawn.stream_end;
  return {
    ...batch,
    metrics: await agreeOnMetrics(
      ranks,
      {
        ...(run.num_items !== undefined && { epoch: prompts_seen / run.num_items }),
        prompts_seen,
        ...metrics,
        ...measured,
        sampling_margin_min,
        ...measureReflection(trajectories, completions, rewards.breakdown),
        ...grading.metrics,
        ...stats,
        ...mismatch,
        ...clock.laps(),
        grading_wait_seconds,
        step_seconds: clock.total(),
        rollout_tokens_per_second: num_tokens / clock.laps()["rollout_seconds"]!,
        rss_bytes,
        peak_rss_bytes,
        ...(peak_device_bytes > 0 && { peak_device_bytes }),
      },
      waited,
    ),
  };
}
