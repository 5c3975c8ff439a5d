import { join } from "node:path";
import type { EvaluationPoint } from "../../reports/read/metrics-lines.js";
import type { Run } from "../../reports/read/run-folder-reader.js";
import { isMeasured, kindOf } from "../graph.js";
import { runId, type StudyPlan } from "../plan.js";
import type { Entry } from "../schema.js";

/** One row of the tables: an entry in one cell of the grid, with what its runs have measured. */
export interface Measured {
  readonly cell: string;
  readonly entry: string;
  /** As tables and figures call it. */
  readonly name: string;
  readonly kind: "sft" | "train" | "start_of";
  readonly runs: readonly MeasuredRun[];
}

export interface MeasuredRun {
  readonly seed: number;
  readonly run: Run;
  /** Of this entry: those before the first step, or those after it. */
  readonly evaluations: readonly EvaluationPoint[];
}

export const nameOf = (cell: string, name: string, entry: Entry): string =>
  cell === "" ? (entry.label ?? name) : `${cell} ${entry.label ?? name}`;

/** Rows in the order of the file, those without a finished run left out. */
export function measuredEntries(
  { study, folder, runs: planned }: StudyPlan,
  runs: readonly Run[],
  isFinished: (id: string) => boolean,
): readonly Measured[] {
  const cells = [...new Set(planned.map(({ cell }) => cell))];
  const by_folder = new Map(runs.map((run) => [run.folder, run]));
  return cells.flatMap((cell) =>
    Object.entries(study.entries).flatMap(([entry, definition]) => {
      if (!isMeasured(definition)) return [];
      const kind = kindOf(definition) as Measured["kind"];
      const found = study.seeds.flatMap((seed): MeasuredRun[] => {
        const id = runId(cell, definition.start_of ?? entry, seed);
        const run = isFinished(id) ? by_folder.get(join(folder, id)) : undefined;
        if (run === undefined) return [];
        const is_wanted = ({ step }: EvaluationPoint): boolean => (step === 0) === (kind === "start_of");
        return [{ seed, run, evaluations: run.metrics.evaluations.filter(is_wanted) }];
      });
      return found.length === 0 ? [] : [{ cell, entry, name: nameOf(cell, entry, definition), kind, runs: found }];
    }),
  );
}

/** Evaluations of one split and setting, in the order of the steps. */
export const pointsOf = (run: MeasuredRun, split: string, setting: string): readonly EvaluationPoint[] =>
  run.evaluations.filter((point) => point.split === split && point.setting === setting);

export interface Kind {
  readonly split: string;
  readonly setting: string;
}

/** Every split and setting that was evaluated, in the order met. */
export function kindsOf(entries: readonly Measured[]): readonly Kind[] {
  const all = entries.flatMap(({ runs }) => runs.flatMap(({ evaluations }) => evaluations));
  return [...new Map(all.map(({ split, setting }) => [`${split} ${setting}`, { split, setting }])).values()];
}
