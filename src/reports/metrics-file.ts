import { type FileHandle, open, readFile } from "node:fs/promises";
import { writeAtomically } from "./files.js";

/** One line of metrics.jsonl: a step's metrics, or an evaluation's results. */
export type MetricsLine = { readonly type: "step" | "evaluated"; readonly step: number } & Readonly<
  Record<string, unknown>
>;

export interface MetricsFile extends AsyncDisposable {
  append(line: MetricsLine): Promise<void>;
  /** Flushes to disk. */
  sync(): Promise<void>;
}

export async function openMetricsFile(path: string): Promise<MetricsFile> {
  const handle: FileHandle = await open(path, "a");
  return {
    append: async (line) => void (await handle.appendFile(`${JSON.stringify(line)}\n`)),
    sync: () => handle.sync(),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

/** Lines of the file; those that are no such line are left out, as the last one that a crash cut off. */
export async function readMetrics(path: string): Promise<readonly MetricsLine[]> {
  return (await readLines(path)) as readonly MetricsLine[];
}

/** Every line of a JSONL file that is an object with a step. */
export async function readLines(path: string): Promise<readonly (Record<string, unknown> & { step: number })[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return text.split("\n").flatMap((line) => {
    try {
      const value = JSON.parse(line) as (Record<string, unknown> & { step: number }) | null;
      return typeof value?.step === "number" ? [value] : [];
    } catch {
      return [];
    }
  });
}

/** Every step's metrics. JSON has no NaN and no infinity: it has null for both, which is read as NaN. */
export const stepMetrics = (
  lines: readonly MetricsLine[],
): readonly { readonly step: number; readonly metrics: Readonly<Record<string, number>> }[] =>
  lines
    .filter(({ type }) => type === "step")
    .map(({ step, type: _, ...metrics }) => ({
      step,
      metrics: Object.fromEntries(
        Object.entries(metrics).flatMap(([name, value]) =>
          typeof value === "number" ? [[name, value]] : value === null ? [[name, Number.NaN]] : [],
        ),
      ),
    }));

/** Keeps what was written up to `step`; `with_evaluation` says whether that includes the evaluation at `step`. */
export async function truncateMetrics(path: string, step: number, with_evaluation: boolean): Promise<void> {
  const kept = (await readMetrics(path)).filter(
    (line) => line.step < step || (line.step === step && (line.type === "step" || with_evaluation)),
  );
  await writeAtomically(path, kept.map((line) => `${JSON.stringify(line)}\n`).join(""));
}
