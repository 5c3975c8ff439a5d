import type { TrainEvent } from "../pipeline/events.js";
import type { NamedTracker } from "./open.js";
import type { Tracker } from "./tracker.js";

/**
 * A run's events, of which trackers hear too, before anyone else does. One that throws, or takes longer than `limit_ms` over
 * one call, is left out from then on, and a note says so.
 */
export async function* tracked(
  events: AsyncGenerator<TrainEvent>,
  trackers: readonly NamedTracker[],
  config: object,
  limit_ms = 30_000,
): AsyncGenerator<TrainEvent> {
  const failures: string[] = [];
  const hearing = new Set(trackers);
  let finished = false;
  const tell = async (what: string, call: (tracker: Tracker) => unknown, to = [...hearing]): Promise<void> => {
    for (const one of to)
      try {
        await within(limit_ms, async () => call(one.tracker));
      } catch (error) {
        hearing.delete(one);
        failures.push(`tracker ${one.name} failed at ${what} and hears no more of this run: ${String(error)}`);
      }
  };
  const finish = async (): Promise<void> => {
    finished = true;
    await tell("the end", (tracker) => tracker.finish?.(), [...trackers]);
  };
  function* notes(): Generator<TrainEvent> {
    for (const message of failures.splice(0)) yield { type: "note", message };
  }
  try {
    for await (const event of events) {
      if (event.type === "started") {
        const { run_folder: folder, step: resumed_step, num_parameters, num_trainable_parameters } = event;
        const run = { folder, config, num_parameters, num_trainable_parameters, resumed_step };
        await tell("the start", (tracker) => tracker.start?.(run));
      } else if (event.type === "step") await tell(`step ${event.step}`, (tracker) => tracker.step?.(event));
      else if (event.type === "evaluated")
        await tell(`the evaluation of step ${event.step}`, (tracker) => tracker.evaluated?.(event));
      else if (event.type === "alarm")
        await tell(`an alarm of step ${event.step}`, (tracker) => tracker.alarm?.(event));
      else if (event.type === "done") await finish();
      yield* notes();
      yield event;
    }
  } finally {
    if (!finished) await finish();
  }
}

async function within(limit_ms: number, call: () => Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${limit_ms / 1000} s`)), limit_ms);
  });
  try {
    await Promise.race([call(), late]);
  } finally {
    clearTimeout(timer);
  }
}
