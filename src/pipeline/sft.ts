import type { Engine } from "../engine/engine.js";
import { UserError } from "../errors.js";
import { type Ranks, together } from "../ranks/ranks.js";
import type { StepRecord } from "../reports/run-folder.js";
import type { Processor } from "./data/processor.js";
import type { Drawn } from "./draw.js";
import type { TrainEvent } from "./events.js";
import { type Loop, runLoop } from "./loop.js";
import { agreeOnMetrics } from "./agree-on-metrics.js";
import { ownRows } from "./shares.js";
import { stopwatch } from "./stopwatch.js";
import { supervisedTrajectories } from "./trajectory/supervised.js";
import { update, type UpdateMetrics } from "./update/update.js";

/** One run of supervised fine-tuning. */
export interface SftRun {
  readonly engine: Engine;
  readonly ranks: Ranks;
  readonly loop: Omit<Loop, "step">;
  readonly draw: (signal: AbortSignal) => Promise<Drawn | undefined>;
  /** Solutions as tokens, stop token included, in the drawn order. */
  readonly solutions: (drawn: Drawn) => readonly Int32Array[];
  /** Minibatches that must not be learned from and are left out in a row before the run ends. */
  readonly max_consecutive_skips: number;
  readonly optimizer_steps_per_step: number;
  readonly num_items: number | undefined;
}

/** Of an update: what means something without rewards and a policy to compare with. */
const reported: ReadonlySet<string> = new Set<keyof UpdateMetrics>([
  ...(["loss", "grad_norm", "learning_rate", "optimizer_step"] as const),
  ...(["completion_tokens", "computed_tokens", "skipped_updates"] as const),
]);

/** Trains to the end of the run, or to the first interrupt. */
export const sft = (run: SftRun, signal: AbortSignal): AsyncGenerator<TrainEvent> =>
  runLoop({ ...run.loop, step: (step) => sftStep(run, step, signal) }, signal);

async function* sftStep(
  run: SftRun,
  step: number,
  signal: AbortSignal,
): AsyncGenerator<TrainEvent, StepRecord | undefined> {
  const { engine, ranks, optimizer_steps_per_step: optimizer_steps } = run;
  const clock = stopwatch();
  const waited = ranks.waitedSeconds();
  const drawn = await run.draw(signal);
  if (drawn === undefined) return undefined;
  const trajectories = supervisedTrajectories(drawn.prompts, run.solutions(drawn));
  clock.lap("data_seconds");

  await together(ranks, () => signal.throwIfAborted());
  yield { type: "progress", step, phase: "update", done: 0, total: optimizer_steps, unit: "optimizer steps" };
  const { images } = drawn;
  const stats = await update(engine, trajectories, {
    temperature: 1,
    own_rows: ownRows(ranks, drawn.prompts, drawn.rankOf),
    max_consecutive_skips: run.max_consecutive_skips,
    keepDiverged: (divergences) => run.loop.record.diverged({ step, trajectories, images, divergences }),
  });
  clock.lap("update_seconds");

  await engine.pruneImages([]);
  const { rss_bytes, peak_rss_bytes, peak_device_bytes } = await engine.memory();
  const prompts_seen = step * drawn.samples.length;
  return {
    step,
    metrics: await agreeOnMetrics(
      ranks,
      {
        ...(run.num_items !== undefined && { epoch: prompts_seen / run.num_items }),
        prompts_seen,
        ...Object.fromEntries(Object.entries(stats).filter(([name]) => reported.has(name))),
        ...clock.laps(),
        step_seconds: clock.total(),
        rss_bytes,
        peak_rss_bytes,
        ...(peak_device_bytes > 0 && { peak_device_bytes }),
      },
      waited,
    ),
  };
}

/**
 * Solutions as tokens, each closed by the model's first stop token.
 * @throws UserError DATASET_INVALID naming the sample without a solution, or with one that is too long
 */
export function solutionTokens(
  processor: Processor,
  drawn: Drawn,
  max_completion_tokens: number,
): readonly Int32Array[] {
  const stop = processor.stop_token_ids[0]!;
  return drawn.samples.map(({ sample }) => {
    if (sample.solution === undefined)
      throw new UserError(
        "DATASET_INVALID",
        `sample ${JSON.stringify(sample.id)} has no solution to imitate`,
        "sft needs datasets whose rows have a solution; `train` needs only answers.",
      );
    const ids = processor.encode(sample.solution);
    if (ids.length + 1 > max_completion_tokens)
      throw new UserError(
        "DATASET_INVALID",
        `sample ${JSON.stringify(sample.id)}: its solution has ${ids.length + 1} tokens with the stop token, ` +
          `over max_completion_tokens ${max_completion_tokens}`,
        "Raise max_completion_tokens, or remove the sample.",
      );
    return Int32Array.of(...ids, stop);
  });
}
