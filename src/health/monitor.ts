import type { AlarmName, HealthConfig } from "../config/health.js";
import type { AlarmEvent, Metrics } from "../pipeline/events.js";
import { formatMetric } from "../reports/format-metric.js";
import { type AlarmKind, alarms } from "./alarms.js";
import { historyMetrics } from "./history.js";

/** A finished step. */
export interface Observed {
  readonly step: number;
  readonly metrics: Metrics;
}

export interface Observation {
  /** What the monitor adds to the step's metrics. */
  readonly metrics: Metrics;
  readonly alarms: readonly AlarmEvent[];
}

export interface HealthMonitor {
  /** Takes every step of a run in order. */
  observe(step: Observed): Observation;
}

/** One alarm's memory: the steps in a row that speak for a change of its state. */
interface State {
  raised: boolean;
  count: number;
  first_step: number;
}

const names = Object.keys(alarms) as readonly AlarmName[];

/**
 * Watches a run's metrics. An alarm is raised once, after `steps` steps in a row at its limit or beyond, and again only
 * after as many steps within. Everything follows from the metrics of the steps so far, so that a resumed run, given those
 * in `history`, goes on as one that was never stopped.
 */
export function healthMonitor(config: HealthConfig, history: Iterable<Observed> = []): HealthMonitor {
  const compare = historyMetrics();
  const states = new Map<AlarmName, State>(names.map((name) => [name, { raised: false, count: 0, first_step: 0 }]));

  const observe = ({ step, metrics }: Observed): Observation => {
    const added = compare(metrics);
    const all = { ...metrics, ...added };
    const events = names.flatMap((name) => {
      const wrong = isWrong(config, name, all);
      if (wrong === undefined || config.alarms[name].on_alarm === "ignore") return [];
      return change(states.get(name)!, wrong, step, config.alarms[name].steps)
        ? [event(config, name, states.get(name)!, step, all)]
        : [];
    });
    return { metrics: added, alarms: events };
  };
  for (const step of history) observe(step);
  return { observe };
}

/** Undefined where the step does not tell. */
function isWrong(config: HealthConfig, name: AlarmName, metrics: Metrics): boolean | undefined {
  const { covered_by } = alarms[name];
  if (
    covered_by !== undefined &&
    config.alarms[covered_by].on_alarm !== "ignore" &&
    isBeyond(config, covered_by, metrics)
  )
    return false;
  return isBeyond(config, name, metrics);
}

/** NaN is beyond either limit: it must not look like health. */
function isBeyond(config: HealthConfig, name: AlarmName, metrics: Metrics): boolean | undefined {
  const { metric, wrong } = alarms[name];
  const value = metrics[metric];
  if (value === undefined) return undefined;
  const { limit } = config.alarms[name];
  return wrong === "at or above" ? !(value < limit) : !(value > limit);
}

/** Counts a step for or against the alarm's state; true if that turns it. */
function change(state: State, wrong: boolean, step: number, steps: number): boolean {
  if (wrong === state.raised) {
    state.count = 0;
    return false;
  }
  if (state.count === 0) state.first_step = step;
  state.count += 1;
  if (state.count < steps) return false;
  state.raised = wrong;
  state.count = 0;
  return true;
}

function event(
  { alarms: settings }: HealthConfig,
  name: AlarmName,
  state: State,
  step: number,
  metrics: Metrics,
): AlarmEvent {
  const { raised, first_step } = state;
  const kind = alarms[name];
  const { limit, on_alarm } = settings[name];
  return {
    ...{ type: "alarm", step, name, state: raised ? "raised" : "cleared", first_step, metric: kind.metric },
    ...{ value: metrics[kind.metric]!, limit, on_alarm: on_alarm === "stop" ? "stop" : "warn" },
    message: message(kind, limit, state, step, metrics),
    ...{ meaning: kind.meaning, remedy: kind.remedy },
  };
}

/** What was seen, and over which steps. */
function message(
  { metric, wrong }: AlarmKind,
  limit: number,
  { raised, first_step }: State,
  step: number,
  metrics: Metrics,
): string {
  const shown = (name: string): string => formatMetric(name, metrics[name]!);
  const value =
    metric === "reward_mode_share" ? `${shown(metric)}, a reward of ${shown("reward_mode")}` : shown(metric);
  const bound = `${raised ? wrong : `no longer ${wrong}`} ${formatMetric(metric, limit)}`;
  return first_step === step
    ? `${metric} was ${bound} in step ${step}: ${value}`
    : `${metric} was ${bound} in all steps from ${first_step} to ${step}, at last ${value}`;
}
