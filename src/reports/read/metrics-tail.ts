import { open } from "node:fs/promises";
import { type EvaluationPoint, parseMetricsLine, type StepPoint } from "./metrics-lines.js";
import { type Problem, reasonOf } from "./problem.js";

/** What a metrics.jsonl has said so far. The lists only grow, until a new generation begins. */
export interface MetricsTail {
  /** Counts how often the file was replaced or cut, as a resumed run does: what was read before no longer holds. */
  readonly generation: number;
  readonly steps: readonly StepPoint[];
  readonly evaluations: readonly EvaluationPoint[];
  readonly problems: readonly Problem[];
  /** When the file last changed, ms since 1970; 0 if there is none. */
  readonly changed_at: number;
  /** Reads what was added. Returns whether anything is new. */
  poll(): Promise<boolean>;
}

const chunk_bytes = 2 ** 20;
/** No line of ours comes near; a file of another kind must not fill the memory. */
const max_line_bytes = 2 ** 24;
const max_problems = 20;

/** Follows a metrics.jsonl that may not exist yet, may grow, and whose last line may be half written. */
export function metricsTail(path: string, file = "metrics.jsonl"): MetricsTail {
  let [steps, evaluations, problems]: [StepPoint[], EvaluationPoint[], Problem[]] = [[], [], []];
  let [generation, inode, offset, line_number, changed_at] = [0, 0, 0, 0, 0];
  let rest = Buffer.alloc(0);

  const reset = (): void => {
    [steps, evaluations, problems] = [[], [], []];
    [offset, line_number, rest] = [0, 0, Buffer.alloc(0)];
    generation += 1;
  };
  const addProblem = (message: string): void => {
    if (problems.length < max_problems) problems.push({ file, line: line_number, message });
    else if (problems.length === max_problems) problems.push({ file, message: "and more lines that cannot be read" });
  };
  const take = (line: Buffer): void => {
    line_number += 1;
    if (line.length === 0) return;
    try {
      const parsed = parseMetricsLine(line.toString("utf8"));
      if (parsed.type === "step") steps.push(parsed.point);
      else evaluations.push(...parsed.points);
    } catch (error) {
      addProblem(`left out: ${reasonOf(error)}`);
    }
  };
  const split = (chunk: Buffer): void => {
    let data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10)) {
      take(data.subarray(0, end));
      data = data.subarray(end + 1);
    }
    if (data.length > max_line_bytes) throw new Error(`line ${line_number + 1} is longer than ${max_line_bytes} bytes`);
    rest = Buffer.from(data); // a copy: the chunk is read into again
  };

  const readNew = async (): Promise<boolean> => {
    await using handle = await open(path, "r");
    const { size, ino, mtimeMs } = await handle.stat();
    const is_new_file = (inode !== 0 && ino !== inode) || size < offset;
    if (is_new_file) reset();
    [inode, changed_at] = [ino, mtimeMs];
    const before = offset;
    const chunk = Buffer.alloc(Math.min(chunk_bytes, Math.max(0, size - offset)));
    while (offset < size) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, offset);
      if (bytesRead === 0) break;
      offset += bytesRead;
      split(chunk.subarray(0, bytesRead));
    }
    return is_new_file || offset > before;
  };

  return {
    get generation() {
      return generation;
    },
    get steps() {
      return steps;
    },
    get evaluations() {
      return evaluations;
    },
    get problems() {
      return problems;
    },
    get changed_at() {
      return changed_at;
    },
    poll: async () => {
      try {
        return await readNew();
      } catch (error) {
        const gone = (error as NodeJS.ErrnoException).code === "ENOENT";
        if (gone && steps.length + evaluations.length + problems.length === 0) return false;
        const message = `cannot be read: ${reasonOf(error)}`;
        if (!gone && problems.some((problem) => problem.message === message)) return false;
        reset();
        inode = 0;
        if (!gone) problems = [{ file, message }];
        return true;
      }
    },
  };
}

/** Of a metrics.jsonl as it stands now. */
export async function readEvaluations(path: string): Promise<readonly EvaluationPoint[]> {
  const tail = metricsTail(path);
  await tail.poll();
  return tail.evaluations;
}
