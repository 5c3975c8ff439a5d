import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { EvaluatedEvent } from "../pipeline/events.js";
import { makeFolder, writeAtomically } from "../reports/files.js";
import type { Tracker } from "./tracker.js";

/**
 * metrics.csv, a row for each step and a column for each metric; evaluations.csv, a row for each setting. A metric that
 * comes up later gets a column at the end, empty in the rows before.
 */
export function csvTracker(folder: string): Tracker {
  const steps = csvFile(join(folder, "metrics.csv"));
  const evaluations = csvFile(join(folder, "evaluations.csv"));
  let resumed_at = 0;
  return {
    start: async ({ resumed_step }) => {
      await makeFolder(folder);
      resumed_at = resumed_step;
      const isKept = (step: number): boolean => resumed_step > 0 && step <= resumed_step;
      await steps.keep(([step]) => isKept(Number(step)));
      await evaluations.keep(([step]) => isKept(Number(step)));
    },
    step: ({ step, metrics }) => steps.append({ step, ...metrics }),
    evaluated: async (event) => {
      // that of the checkpoint which a run goes on from may come again
      if (event.step === resumed_at)
        await evaluations.keep(([step, split]) => Number(step) !== event.step || split !== event.split);
      for (const row of evaluationRows(event)) await evaluations.append(row);
    },
  };
}

type Row = Readonly<Record<string, string | number>>;

const evaluationRows = ({ step, split, results }: EvaluatedEvent): readonly Row[] =>
  results.map((result) => ({
    ...{ step, split, setting: result.setting, num_items: result.num_items },
    ...{ completions_per_prompt: result.completions_per_prompt, accuracy: result.accuracy },
    ...{ accuracy_low: result.interval[0], accuracy_high: result.interval[1] },
    pass_at_n: result.pass_at[result.completions_per_prompt] ?? result.accuracy,
    ...{ mean_completion_length: result.mean_completion_length, truncated: result.truncated },
  }));

/** Rows whose first column is the step. Cells hold no comma, quote or line break: names and numbers. */
function csvFile(path: string) {
  let columns: string[] = [];
  const line = (row: Row): string => `${columns.map((column) => row[column] ?? "").join(",")}\n`;
  const header = (): string => `${columns.join(",")}\n`;
  const rows = async (): Promise<readonly string[]> => (await readFile(path, "utf8")).split("\n").slice(1, -1);
  return {
    /** Leaves the other rows out. */
    keep: async (isKept: (cells: readonly string[]) => boolean): Promise<void> => {
      const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return "";
        throw error;
      });
      if (text === "") return;
      columns = text.slice(0, text.indexOf("\n")).split(",");
      const all = await rows();
      const kept = all.filter((row) => isKept(row.split(",")));
      if (kept.length < all.length) await writeAtomically(path, [header(), ...kept.map((row) => `${row}\n`)].join(""));
    },
    append: async (row: Row): Promise<void> => {
      const added = Object.keys(row).filter((key) => !columns.includes(key));
      if (added.length > 0) {
        const earlier = columns.length === 0 ? [] : await rows();
        columns = [...columns, ...added];
        await writeAtomically(
          path,
          [header(), ...earlier.map((text) => `${text}${",".repeat(added.length)}\n`)].join(""),
        );
      }
      await appendFile(path, line(row));
    },
  };
}
