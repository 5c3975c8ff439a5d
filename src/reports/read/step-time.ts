import { median } from "./groups.js";
import type { StepPoint } from "./metrics-lines.js";

export interface TimePart {
  readonly name: string;
  /** Median over the steps. */
  readonly seconds: number;
  /** Of the time of all steps. */
  readonly share: number;
}

/** Where the time of a step goes. The parts are disjoint and make up the whole. */
export interface StepTime {
  readonly num_steps: number;
  readonly step_seconds: number;
  readonly parts: readonly TimePart[];
  /** "bottleneck: ..." with what could be changed. */
  readonly bottleneck: string;
}

/** Each part of a step: its metric, what of it is told apart, and what to try when it is the largest. */
const phases: readonly { name: string; metric: string; minus?: readonly string[]; hint: string }[] = [
  {
    ...{ name: "data", metric: "data_seconds" },
    hint: "fewer or smaller images, or a larger image_cache_bytes",
  },
  {
    ...{ name: "sampling", metric: "rollout_seconds", minus: ["grading_wait_seconds"] },
    hint: "more sampling.max_concurrent_completions if memory allows, or fewer sampling.max_completion_tokens",
  },
  {
    ...{ name: "waiting for grades", metric: "grading_wait_seconds" },
    hint: "faster rewards: sampling was over while they still ran",
  },
  {
    ...{ name: "scoring", metric: "trajectory_seconds" },
    hint: "old_logprobs: rollout, and no KL to a reference where the method can do without",
  },
  { name: "forward", metric: "forward_seconds", hint: "fewer update_epochs, or skip_zero_advantage_groups" },
  {
    ...{ name: "backward", metric: "backward_seconds" },
    hint: "activation_checkpointing: false if memory allows, or larger tokens_per_microbatch",
  },
  { name: "optimizer", metric: "optimizer_seconds", hint: "more completions_per_update, so fewer optimizer steps" },
  {
    ...{ name: "rest of the update", metric: "update_seconds" },
    minus: ["forward_seconds", "backward_seconds", "optimizer_seconds"],
    hint: "larger completions_per_update",
  },
];

/** The first step loads and warms up, so it is left out if there are others. Undefined if no step was timed. */
export function stepTime(steps: readonly StepPoint[]): StepTime | undefined {
  const timed = steps.filter(({ metrics }) => (metrics["step_seconds"] ?? 0) > 0);
  const counted = timed.length > 1 ? timed.slice(1) : timed;
  if (counted.length === 0) return undefined;
  const total = counted.reduce((sum, { metrics }) => sum + metrics["step_seconds"]!, 0);
  const of = ({ metrics }: StepPoint, { metric, minus = [] }: (typeof phases)[number]): number =>
    Math.max(
      0,
      minus.reduce((rest, other) => rest - (metrics[other] ?? 0), metrics[metric] ?? 0),
    );
  const part = (name: string, seconds: readonly number[]): TimePart => ({
    name,
    seconds: median(seconds),
    share: seconds.reduce((sum, value) => sum + value, 0) / total,
  });
  const known = phases.map((phase) =>
    part(
      phase.name,
      counted.map((point) => of(point, phase)),
    ),
  );
  const others = counted.map((point) =>
    Math.max(0, point.metrics["step_seconds"]! - phases.reduce((sum, phase) => sum + of(point, phase), 0)),
  );
  const parts = [...known, part("between the phases", others)].filter(({ share }) => share > 0);
  const step_seconds = median(counted.map(({ metrics }) => metrics["step_seconds"]!));
  return { num_steps: counted.length, step_seconds, parts, bottleneck: bottleneckLine(parts, step_seconds) };
}

function bottleneckLine(parts: readonly TimePart[], step_seconds: number): string {
  const largest = parts.reduce((a, b) => (b.share > a.share ? b : a));
  const hint = phases.find(({ name }) => name === largest.name)?.hint;
  const { name, share, seconds } = largest;
  const measured = `${name}, ${(100 * share).toFixed(0)} % of a step (${short(seconds)} of ${short(step_seconds)} s)`;
  return `bottleneck: ${measured}${hint === undefined ? "" : `; to try: ${hint}`}`;
}

const short = (seconds: number): string => seconds.toPrecision(seconds < 1000 ? 2 : 4);
