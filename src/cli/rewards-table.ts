import type { Grade } from "../rewards/grader.js";
import { table } from "./format.js";
import type { RewardCase } from "./rewards-cases.js";

export interface GradedCase extends RewardCase {
  readonly grade: Grade;
}

/** A line for each completion, then one for each reward. */
export function rewardsTable(names: readonly string[], graded: readonly GradedCase[]): string {
  const lines = graded.map(({ kind, input, grade }) => [
    `${cut(input.sample.id)}  ${kind}`,
    cut(JSON.stringify(input.completion).slice(1, -1)),
    ...names.map((name) => cell(grade, name)),
    number(grade.reward),
    milliseconds(Math.max(0, ...Object.values(grade.outcomes).map(({ seconds }) => seconds))),
  ]);
  const kinds = [...new Set(graded.map(({ kind }) => kind))];
  const summary = names.map((name) => {
    const outcomes = graded.map(({ grade }) => grade.outcomes[name]!);
    const count = (status: string): string => String(outcomes.filter((outcome) => outcome.status === status).length);
    const means = kinds.map((kind) => {
      const ok = graded.filter((item) => item.kind === kind && item.grade.outcomes[name]!.status === "ok");
      return ok.length === 0 ? "" : number(mean(ok.map(({ grade }) => grade.breakdown[name]!)));
    });
    const longest = milliseconds(Math.max(0, ...outcomes.map(({ seconds }) => seconds)));
    return [name, count("ok"), count("timeout"), count("error"), ...means, longest];
  });
  return [
    table(["row", "completion", ...names, "reward", "time"], lines),
    "",
    table(["reward", "ok", "timeout", "error", ...kinds.map((kind) => `mean, ${kind}`), "longest"], summary),
  ].join("\n");
}

/** What a person should look at before training. */
export function rewardWarnings(graded: readonly GradedCase[]): readonly string[] {
  const warnings: string[] = [];
  const of = (kind: string): readonly GradedCase[] => graded.filter((item) => item.kind === kind);
  const ids = (items: readonly GradedCase[]): string =>
    items
      .slice(0, 5)
      .map(({ input }) => input.sample.id)
      .join(", ") + (items.length > 5 ? ", ..." : "");
  const accuracy = ({ grade }: GradedCase): number => grade.breakdown["accuracy"] ?? Number.NaN;
  const missed = of("truth").filter((item) => accuracy(item) === 0);
  if (missed.length > 0)
    warnings.push(`accuracy does not accept the dataset's own answer in ${missed.length} rows: ${ids(missed)}`);
  const fooled = of("wrong").filter((item) => accuracy(item) > 0);
  if (fooled.length > 0) warnings.push(`accuracy accepts a wrong answer in ${fooled.length} rows: ${ids(fooled)}`);
  const rewards = graded.map(({ grade }) => grade.reward);
  if (rewards.length > 1 && new Set(rewards).size === 1)
    warnings.push("every completion gets the same reward: there is nothing to learn from");
  else if (of("truth").length > 0 && meanReward(of("truth")) <= meanReward(of("wrong")))
    warnings.push("on average the truth is rewarded no better than a wrong answer");
  return warnings;
}

/** One sentence for each reward that gave no number, with what went wrong first. */
export function rewardFailures(names: readonly string[], graded: readonly GradedCase[]): readonly string[] {
  return names.flatMap((name) => {
    const failed = graded.filter(({ grade }) => grade.outcomes[name]!.status !== "ok");
    if (failed.length === 0) return [];
    const [{ input, kind, grade }] = failed as [GradedCase];
    const first = `row ${input.sample.id} (${kind}): it ${grade.outcomes[name]!.message}`;
    return [
      `reward "${name}" gave no number for ${failed.length} of ${graded.length} completions; the first, ${first}`,
    ];
  });
}

const cell = ({ outcomes, breakdown }: Grade, name: string): string => {
  const { status } = outcomes[name]!;
  return status === "ok" ? number(breakdown[name]!) : status;
};
const cut = (text: string): string => (text.length > 24 ? `${text.slice(0, 21)}...` : text);
const number = (value: number): string => (Number.isInteger(value) ? String(value) : value.toPrecision(3));
const milliseconds = (seconds: number): string => `${(1000 * seconds).toFixed(1)} ms`;
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const meanReward = (items: readonly GradedCase[]): number => mean(items.map(({ grade }) => grade.reward));
