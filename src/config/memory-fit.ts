import { UserError } from "../errors.js";
import { type MemoryQuestion, planOf, type MemoryPlan } from "./memory-plan.js";
import type { ModelSizes } from "./model-sizes.js";

type Knob = "tokens_per_microbatch" | "max_concurrent_completions";
type Knobs = Pick<MemoryQuestion, Knob>;

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(2)} GiB`;

/** Bytes that a run may take: on the device it computes on, and what it offloads to the host's memory. */
export interface Available {
  readonly bytes: number;
  readonly host_bytes?: number;
}

/**
 * @throws UserError DEVICE_OUT_OF_MEMORY if the plan needs more than what is available, naming the largest
 *   tokens_per_microbatch and max_concurrent_completions with which it fits, and what could be offloaded
 */
export function checkFits(sizes: ModelSizes, question: MemoryQuestion, plan: MemoryPlan, available: Available): void {
  const { bytes, host_bytes = Infinity } = available;
  const refuse = (what: string, hint: string): UserError =>
    new UserError(
      "DEVICE_OUT_OF_MEMORY",
      what,
      `${hint} \`--dry-run\` shows every part; \`--set ignore_memory_plan=true\` starts all the same.`,
    );
  if (plan.peak_bytes > bytes)
    throw refuse(
      `the run would take about ${gib(plan.peak_bytes)} of memory, in its ${plan.peak_phase} phase, and ${gib(bytes)} are available`,
      advice(sizes, question, { bytes, host_bytes }),
    );
  if (plan.host_bytes > host_bytes)
    throw refuse(
      `the run would offload about ${gib(plan.host_bytes)} to host memory, and ${gib(host_bytes)} are available there`,
      "Offload less (optimizer.offload, reference.offload), or use a machine with more memory.",
    );
}

function advice(sizes: ModelSizes, question: MemoryQuestion, available: Required<Available>): string {
  const lowered = lowering(sizes, question, available.bytes);
  const offloads = offloading(sizes, question, available);
  if (lowered === undefined && offloads === undefined)
    return "No tokens_per_microbatch is small enough: use a smaller model, shorter prompts or completions, or a machine with more memory.";
  return [lowered, offloads]
    .filter((one) => one !== undefined)
    .map((one, i) => `${i === 0 ? one.charAt(0).toUpperCase() + one.slice(1) : `Or ${one}`}.`)
    .join(" ");
}

type Offload = Pick<MemoryQuestion, "offload_optimizer" | "offload_reference">;

/** The least to offload so that it fits; undefined if that does not help, or everything is in host memory already. */
function offloading(
  sizes: ModelSizes,
  question: MemoryQuestion,
  { bytes, host_bytes }: Required<Available>,
): string | undefined {
  if (question.on_device !== true) return undefined;
  const planned = (way: Offload): MemoryPlan => planOf(sizes, { ...question, ...way });
  const has_room = (way: Offload): boolean => planned(way).host_bytes <= host_bytes;
  const { with_reference, offload_optimizer = false, offload_reference = !with_reference } = question;
  const of_reference = { offload_reference: with_reference };
  const ways: readonly Offload[] = [
    { offload_optimizer, ...of_reference },
    { offload_optimizer: true, offload_reference: offload_reference && with_reference },
    { offload_optimizer: true, ...of_reference },
  ];
  const told = (way: Offload): string =>
    [
      ...(way.offload_reference === true && !offload_reference ? ["reference.offload: true"] : []),
      ...(way.offload_optimizer === true && !offload_optimizer ? ["optimizer.offload: true"] : []),
    ].join(" and ");
  const helps = ways.find((way) => told(way) !== "" && has_room(way) && planned(way).peak_bytes <= bytes);
  if (helps !== undefined) return `set ${told(helps)}, which keeps that in host memory`;
  const most = ways.at(-1)!;
  const rest = told(most) === "" || !has_room(most) ? undefined : lowering(sizes, { ...question, ...most }, bytes);
  return rest && `set ${told(most)}, which keeps that in host memory, and ${rest}`;
}

/** The largest values of the knobs with which it fits; undefined if the least do not help. */
function lowering(sizes: ModelSizes, question: MemoryQuestion, available: number): string | undefined {
  const fits = (knobs: Partial<Knobs>): boolean => planOf(sizes, { ...question, ...knobs }).peak_bytes <= available;
  const least = { tokens_per_microbatch: 1, max_concurrent_completions: 1 };
  if (!fits(least)) return undefined;
  // One after the other: what the first leaves too large, the second must mend.
  const knobs: { -readonly [name in Knob]?: number } = {};
  for (const knob of ["tokens_per_microbatch", "max_concurrent_completions"] as const) {
    const rest = knob === "tokens_per_microbatch" ? { max_concurrent_completions: 1 } : knobs;
    if (fits({ ...rest, [knob]: question[knob] })) continue;
    knobs[knob] = largest(question[knob], (value) => fits({ ...rest, [knob]: value }));
  }
  return `lower ${Object.entries(knobs)
    .map(([knob, value]) => `${knob} to ${value} (it is ${question[knob as Knob]})`)
    .join(" and ")}`;
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
