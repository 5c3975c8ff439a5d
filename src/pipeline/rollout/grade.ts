import { UserError } from "../../errors.js";

/** What a grader says of one completion; `breakdown` holds the parts before weights. */
export interface Grade {
  readonly reward: number;
  readonly breakdown: Readonly<Record<string, number>>;
  /** How asking each reward ended, by name; absent: all is well. */
  readonly outcomes?: Readonly<Record<string, RewardOutcome>>;
  /** Leave the completion out. */
  readonly masked?: boolean;
}

export interface RewardOutcome {
  readonly status: "ok" | "timeout" | "error";
  readonly message?: string;
}

export interface GradingSummary {
  /** Formulas: src/reports/metrics.ts. */
  readonly metrics: Readonly<Record<string, number>>;
  /** A sentence for each reward that failed. */
  readonly failures: readonly string[];
}

/**
 * Counts how one step's rewards went.
 * @throws UserError REWARD_FAILED if a reward failed for every completion, or none is left to learn from
 */
export function summarizeGrades(grades: readonly Grade[]): GradingSummary {
  const metrics: Record<string, number> = {};
  const failures: string[] = [];
  for (const name of Object.keys(grades[0]?.outcomes ?? {})) {
    const counts = { ok: 0, timeout: 0, error: 0 };
    let first: string | undefined;
    for (const { outcomes } of grades) {
      const { status, message } = outcomes![name]!;
      counts[status] += 1;
      first ??= message;
    }
    for (const status of ["ok", "timeout", "error"] as const)
      metrics[`reward_${status}.${name}`] = counts[status] / grades.length;
    const failed = grades.length - counts.ok;
    if (failed === 0) continue;
    const kinds = `${counts.timeout} timeouts, ${counts.error} errors`;
    failures.push(
      `reward "${name}" failed for ${failed} of ${grades.length} completions (${kinds}); the first: it ${first}`,
    );
    if (counts.ok === 0) throw allFailed(failures.at(-1)!);
  }
  metrics["masked_completions"] = grades.filter(({ masked }) => masked).length;
  if (grades.length > 0 && metrics["masked_completions"] === grades.length)
    throw allFailed(`every completion of the step is masked; ${failures.join("; ")}`);
  return { metrics, failures };
}

const allFailed = (what: string): UserError =>
  new UserError(
    "REWARD_FAILED",
    what,
    "There is nothing to learn from, whatever on_error says. Try the rewards with `sightloop rewards test <config>`.",
  );
