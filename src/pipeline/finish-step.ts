import { flatValues } from "../batches/columns.js";
import { UserError } from "../errors.js";
import { together } from "../ranks/ranks.js";
import { metric } from "../reports/metrics.js";
import type { StepRecord } from "../reports/run-folder.js";
import type { AlarmEvent, StepEvent, StepSample } from "./events.js";
import type { Loop } from "./loop.js";

/** Records a step with what the health monitor says of it; returns the alarm that ends the run, if there is one. */
export async function* finishStep(
  { ranks, record, health }: Pick<Loop, "ranks" | "record" | "health">,
  finished: StepRecord,
  steps: number,
): AsyncGenerator<StepEvent | AlarmEvent, AlarmEvent | undefined> {
  const { step } = finished;
  const seen = health.observe(finished);
  const metrics = { ...finished.metrics, ...seen.metrics };
  for (const name of Object.keys(metrics)) metric(name); // throws for one that is not described
  await together(ranks, async () => {
    await record.step({ ...finished, metrics });
    for (const alarm of seen.alarms) await record.alarm(alarm);
  });
  const sample = firstSample(finished);
  yield { type: "step", step, steps, metrics, ...(sample !== undefined && { sample }) };
  yield* seen.alarms;
  return seen.alarms.find(({ state, on_alarm }) => state === "raised" && on_alarm === "stop");
}

function firstSample({ texts = [], trajectories }: StepRecord): StepSample | undefined {
  const [first] = texts;
  if (first === undefined || trajectories === undefined) return undefined;
  return { ...first, reward: flatValues<Float32Array>(trajectories, "reward")[0]! };
}

export const stoppedBy = (
  { name, step, message, meaning, remedy }: AlarmEvent,
  { steps, record, command }: Pick<Loop, "steps" | "record" | "command">,
): UserError =>
  new UserError(
    "HEALTH_ALARM",
    `stopped after step ${step} of ${steps} by the alarm ${name}: ${message}. Usually ${meaning}`,
    remedy + (record.folder === null ? "" : ` To go on all the same: ${command}`),
  );
