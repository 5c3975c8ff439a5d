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
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return text.split("\n").flatMap((line): MetricsLine[] => {
    try {
      const value = JSON.parse(line) as MetricsLine | null;
      return typeof value?.step === "number" ? [value] : [];
    } catch {
      return [];
    }
  });
}

/** Keeps what was written up to `step`; `with_evaluation` says whether that includes the evaluation at `step`. */
export async function truncateMetrics(path: string, step: number, with_evaluation: boolean): Promise<void> {
  const kept = (await readMetrics(path)).filter(
    (line) => line.step < step || (line.step === step && (line.type === "step" || with_evaluation)),
  );
  await writeAtomically(path, kept.map((line) => `${JSON.stringify(line)}\n`).join(""));
}
