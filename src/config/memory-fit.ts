import { UserError } from "../errors.js";
import { type MemoryQuestion, planOf, type MemoryPlan } from "./memory-plan.js";
import type { ModelSizes } from "./model-sizes.js";

type Knob = "tokens_per_microbatch" | "max_concurrent_completions";
type Knobs = Pick<MemoryQuestion, Knob>;

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;

/**
 * @throws UserError DEVICE_OUT_OF_MEMORY if the plan needs more than `available` bytes, naming the largest
 *   tokens_per_microbatch and max_concurrent_completions with which it fits
 */
export function checkFits(sizes: ModelSizes, question: MemoryQuestion, plan: MemoryPlan, available: number): void {
  if (plan.peak_bytes <= available) return;
  throw new UserError(
    "DEVICE_OUT_OF_MEMORY",
    `the run would take about ${gib(plan.peak_bytes)} of memory, in its ${plan.peak_phase} phase, and ${gib(available)} are available`,
    `${advice(sizes, question, available)} \`--dry-run\` shows every part; \`--set ignore_memory_plan=true\` starts all the same.`,
  );
}

function advice(sizes: ModelSizes, question: MemoryQuestion, available: number): string {
  const fits = (knobs: Partial<Knobs>): boolean => planOf(sizes, { ...question, ...knobs }).peak_bytes <= available;
  const least = { tokens_per_microbatch: 1, max_concurrent_completions: 1 };
  if (!fits(least))
    return "No tokens_per_microbatch is small enough: use a smaller model, shorter prompts or completions, or a machine with more memory.";
  // One after the other: what the first leaves too large, the second must mend.
  const knobs: { -readonly [name in Knob]?: number } = {};
  for (const knob of ["tokens_per_microbatch", "max_concurrent_completions"] as const) {
    const rest = knob === "tokens_per_microbatch" ? { max_concurrent_completions: 1 } : knobs;
    if (fits({ ...rest, [knob]: question[knob] })) continue;
    knobs[knob] = largest(question[knob], (value) => fits({ ...rest, [knob]: value }));
  }
  return `Lower ${Object.entries(knobs)
    .map(([knob, value]) => `${knob} to ${value} (it is ${question[knob as Knob]})`)
    .join(" and ")}.`;
}

/** The largest value from 1 to `most` that passes; 1 is known to. */
function largest(most: number, passes: (value: number) => boolean): number {
  let [low, high] = [1, most];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (passes(middle)) low = middle;
    else high = middle;
  }
  return low;
}
