import type { BatchArithmetic } from "../config/arithmetic.js";
import { availableMemory } from "../config/available-memory.js";
import { leaves } from "../config/load.js";
import { type MemoryPlan, plan_phases } from "../config/memory-plan.js";
import { gib, table } from "./format.js";

export interface DryRun {
  readonly config: object;
  readonly origins: ReadonlyMap<string, string>;
  readonly arithmetic: BatchArithmetic;
  readonly num_items: number | undefined;
  readonly memory: MemoryPlan;
}

/** Every value with its origin, what the four batch keys amount to, and the memory it will take. */
export function dryRunText(run: DryRun): string {
  const values = [...leaves(run.config)].map(([path, value]) => {
    const key = path.join(".");
    return [key, `${JSON.stringify(value)}`, run.origins.get(key) ?? "default"] as const;
  });
  const widths = [0, 1].map((i) => Math.max(...values.map((row) => Math.min(row[i]!.length, 48))));
  const listing = values.map(
    ([key, value, origin]) => `${key.padEnd(widths[0]!)}  ${value.padEnd(widths[1]!)}  ${origin}`,
  );
  return [
    "Config (value, origin)",
    ...listing,
    "",
    "Batches",
    ...batchLines(run.arithmetic, run.num_items),
    "",
    memoryTable(run.memory),
  ].join("\n");
}

function batchLines(a: BatchArithmetic, num_items: number | undefined): readonly string[] {
  const epochs = a.epochs === undefined ? "" : `, ${a.epochs.toFixed(2)} epochs of ${num_items} samples`;
  return [
    `prompts_per_step ${a.prompts_per_step} x completions_per_prompt ${a.completions_per_prompt} = ${a.completions_per_step} completions a step`,
    `/ completions_per_update ${a.completions_per_update} = ${a.optimizer_steps_per_step} optimizer steps a step (passes included)`,
    `tokens_per_microbatch ${a.tokens_per_microbatch}: at most so many tokens are computed at once`,
    `${a.steps} steps = ${a.optimizer_steps} optimizer steps, ${a.steps * a.completions_per_step} completions${epochs}`,
  ];
}

function memoryTable(plan: MemoryPlan): string {
  const { parts, num_parameters, num_trainable_parameters, peak_bytes, peak_phase, host_bytes } = plan;
  const rows = [
    ...parts.map((part) => [
      part.name,
      gib(part.bytes),
      part.on_host === true
        ? "host memory, always"
        : part.held_in.length === plan_phases.length
          ? "always"
          : part.held_in.join(", "),
    ]),
    ["predicted peak", gib(peak_bytes), peak_phase],
    ...(host_bytes > 0 ? [["offloaded", gib(host_bytes), "host memory"]] : []),
    ["available now", gib(availableMemory()), ""],
  ];
  return [
    `Memory plan: ${num_parameters} parameters, ${num_trainable_parameters} of them trained`,
    table(["part", "memory", "held in"], rows),
    ...parts.map((part) => `  ${part.name}: ${part.how}`),
  ].join("\n");
}
