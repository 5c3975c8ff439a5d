import type { StudyEvent } from "../study/events.js";
import type { StudyPlan } from "../study/plan.js";
import type { StudyWork } from "../study/work.js";
import { duration } from "./format.js";
import { remainingSeconds } from "./study-dry-run.js";

export interface StudyLines extends Disposable {
  show(event: StudyEvent): void;
}

interface Going {
  readonly started: number;
  first: number | undefined;
  step: number;
  steps: number;
}

const seconds_between_lines = 10;

/**
 * A line for each run that begins or ends. Where a person is watching, a status line stands below; else it is printed
 * every ten seconds.
 */
export function studyLines({ folder, study }: StudyPlan, work: StudyWork, { json }: { json: boolean }): StudyLines {
  const going = new Map<string, Going>();
  const finished = new Map(
    work.runs.filter(({ state }) => state === "finished").map(({ id, seconds }) => [id, seconds] as const),
  );
  const is_watched = process.stderr.isTTY && !json;
  let last_shown = performance.now();

  const clear = (): void => void (is_watched && process.stderr.write("\r\x1b[K"));
  const status = (): string => {
    const parts = [...going].map(([id, { step, steps, first, started }]) => {
      const done = step - (first ?? 0);
      const left = done > 0 ? (seconds(started) / done) * (steps - step) : undefined;
      return `${id} ${steps === 0 ? duration(seconds(started)) : `step ${step}/${steps}`}${left === undefined ? "" : `, ${duration(left)} left`}`;
    });
    const runs = work.runs.map((run) =>
      finished.has(run.id) ? { ...run, state: "finished" as const, seconds: finished.get(run.id)! } : run,
    );
    const left = remainingSeconds(runs);
    const eta =
      left === undefined ? "" : `  ETA ${duration(left / Math.min(study.jobs, Math.max(1, work.runs.length)))}`;
    return `${finished.size}/${work.runs.length} finished  ${parts.join("  ")}${eta}`;
  };
  const refresh = (): void => {
    if (json || going.size === 0) return;
    const now = performance.now();
    if (is_watched) process.stderr.write(`\r\x1b[K${status().slice(0, (process.stderr.columns ?? 100) - 1)}`);
    else if (now - last_shown > 1000 * seconds_between_lines) {
      last_shown = now;
      console.log(status());
    }
  };
  if (!json)
    console.log(`study ${study.name}: ${finished.size} of ${work.runs.length} runs finished, folder ${folder}`);
  const timer = is_watched ? setInterval(refresh, 1000) : undefined;
  return {
    show(event) {
      follow(event, going, finished);
      if (json) return console.log(JSON.stringify(event));
      const text = line(event);
      clear();
      if (text !== undefined) console.log(text);
      refresh();
    },
    [Symbol.dispose]: () => {
      clearInterval(timer);
      clear();
    },
  };
}

const seconds = (since: number): number => (performance.now() - since) / 1000;

function follow(event: StudyEvent, going: Map<string, Going>, finished: Map<string, number>): void {
  const { id } = event;
  if (event.type === "run_started") going.set(id, { started: performance.now(), first: undefined, step: 0, steps: 0 });
  else if (event.type === "run_progress") {
    const run = going.get(id);
    if (run === undefined) return;
    run.first ??= event.step;
    [run.step, run.steps] = [event.step, event.steps];
  } else {
    going.delete(id);
    if (event.type === "run_finished") finished.set(id, event.seconds);
  }
}

function line(event: StudyEvent): string | undefined {
  switch (event.type) {
    case "run_started":
      return `${event.id} ${event.is_resumed ? "goes on" : "begins"}${event.note === undefined ? "" : `: ${event.note}`}`;
    case "run_progress":
      return undefined;
    case "run_finished":
      return `${event.id} finished after ${duration(event.seconds)}`;
    case "run_failed":
      return `${event.id} FAILED: ${event.error}; log: ${event.log}`;
    case "run_skipped":
      return `${event.id} left out: it needs ${event.needs}`;
    default:
      return event satisfies never;
  }
}
