import { batchArithmetic } from "../config/arithmetic.js";
import { splitDataset } from "../config/splits.js";
import { detectableDifference } from "../evaluate/statistics/power.js";
import type { PlannedRun, StudyPlan } from "./plan.js";
import type { RunState } from "./state.js";

/** What one run takes, as far as its config says. */
export interface RunWork {
  readonly id: string;
  readonly entry: string;
  readonly kind: PlannedRun["kind"];
  readonly needs: readonly string[];
  readonly state: RunState["state"] | "missing";
  /** Of its starts so far. */
  readonly seconds: number;
  /** Training steps; undefined where epochs of a dataset of unknown size are asked for, 0 for other kinds. */
  readonly steps: number | undefined;
  /** Completions that are sampled to learn from, or to choose from. */
  readonly sampled: number | undefined;
  /** Completions of all its evaluations. */
  readonly evaluated: number | undefined;
}

/** What a comparison on one split can tell. */
export interface SplitPower {
  readonly cell: string;
  readonly split: string;
  readonly num_items: number | undefined;
  readonly num_seeds: number;
  /** Share. */
  readonly detectable_difference: number | undefined;
}

export interface StudyWork {
  readonly runs: readonly RunWork[];
  readonly power: readonly SplitPower[];
}

export function studyWork(plan: StudyPlan, states: ReadonlyMap<string, RunState>): StudyWork {
  return { runs: plan.runs.map((run) => runWork(run, states.get(run.id))), power: splitPowers(plan) };
}

function runWork(run: PlannedRun, known: RunState | undefined): RunWork {
  const { id, entry, kind, from, data, config, options } = run;
  const needs = [from, data].filter((one) => one !== undefined);
  const common = { id, entry, kind, needs, state: known?.state ?? "missing", seconds: known?.seconds ?? 0 } as const;
  if (config === undefined) {
    const { dataset, completions_per_prompt } = options as {
      dataset?: { count?: number };
      completions_per_prompt?: number;
    };
    const sampled =
      kind === "init" ? 0 : dataset?.count === undefined ? undefined : dataset.count * completions_per_prompt!;
    return { ...common, steps: 0, sampled, evaluated: 0 };
  }
  const arithmetic = config.steps === undefined ? undefined : batchArithmetic(config, undefined);
  const steps = arithmetic?.steps;
  const sampled = kind === "sft" ? 0 : arithmetic && arithmetic.steps * arithmetic.completions_per_step;
  const { every_steps, before_training, settings, splits } = config.evaluate;
  const times =
    steps === undefined
      ? undefined
      : (every_steps > 0 ? Math.ceil(steps / every_steps) : 1) + (before_training ? 1 : 0);
  const items = splits.map((split) => itemsOf(config, split));
  const per_item = settings.reduce((sum, { completions_per_prompt }) => sum + completions_per_prompt, 0);
  const evaluated =
    times === undefined || items.includes(undefined)
      ? undefined
      : times * per_item * items.reduce<number>((sum, count) => sum + count!, 0);
  return { ...common, steps, sampled, evaluated };
}

type Config = NonNullable<PlannedRun["config"]>;

/** Items of a split that are evaluated; 0 without the split, undefined where the dataset's size shows only when it is read. */
function itemsOf({ datasets, evaluate }: Config, split: string): number | undefined {
  const dataset = splitDataset(datasets, split);
  if (dataset === null) return 0;
  const size = "count" in dataset ? dataset.count : undefined;
  return evaluate.max_items === null || size === undefined ? size : Math.min(size, evaluate.max_items);
}

function splitPowers({ study, runs }: StudyPlan): readonly SplitPower[] {
  const num_seeds = study.seeds.length;
  const found = new Map<string, SplitPower>();
  for (const { cell, config } of runs)
    for (const split of config?.evaluate.splits ?? []) {
      const num_items = itemsOf(config!, split);
      if (num_items === 0) continue;
      const { discordant_share, seed_std, alpha, power } = study.report;
      const detectable_difference =
        num_items && detectableDifference({ num_items, num_seeds, discordant_share, seed_std, alpha, power });
      found.set(`${cell} ${split}`, { cell, split, num_items, num_seeds, detectable_difference });
    }
  return [...found.values()];
}
