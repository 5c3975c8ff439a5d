import type { StudyPlan } from "../study/plan.js";
import type { StudyConfig } from "../study/schema.js";
import type { RunWork, StudyWork } from "../study/work.js";
import { duration, percent, table } from "./format.js";

const shown = (value: number | undefined): string => value?.toLocaleString("en") ?? "?";

/** The runs, what they take, and what the study will be able to tell. */
export function dryRunText({ folder, study }: StudyPlan, { runs, power }: StudyWork): string {
  const missing = runs.filter(({ state }) => state !== "finished");
  const total = (pick: (run: RunWork) => number | undefined): string =>
    shown(missing.reduce<number | undefined>((sum, run) => add(sum, pick(run)), 0));
  return [
    `Study ${study.name}: ${runs.length} runs, ${runs.length - missing.length} finished; everything goes to ${folder}`,
    table(
      ["run", "kind", "needs", "steps", "completions sampled", "completions evaluated", "state"],
      runs.map((run) => [
        ...[run.id, run.kind, run.needs.join(" ") || "-"],
        ...[shown(run.steps), shown(run.sampled), shown(run.evaluated)],
        run.state === "missing" ? "missing" : `${run.state}, ${duration(run.seconds)}`,
      ]),
    ),
    "",
    `To do: ${missing.length} runs, ${total(({ steps }) => steps)} training steps, ${total(({ sampled }) => sampled)} completions ` +
      `sampled, ${total(({ evaluated }) => evaluated)} evaluated; ${study.jobs} at once. ${predicted(runs)}`,
    "",
    powerText(study, power),
  ].join("\n");
}

/** What differences the study can find, by its guesses. */
export function powerText({ report }: StudyConfig, power: StudyWork["power"]): string {
  const { discordant_share, seed_std, alpha } = report;
  return [
    `Detectable difference between two entries: alpha ${alpha}, power ${report.power}, before Holm's correction; guesses: ` +
      `${percent(discordant_share)} of the items discordant, deviation over seeds ${percent(seed_std)}`,
    table(
      ["split", "items", "seeds", "detectable difference"],
      power.map(({ cell, split, num_items, num_seeds, detectable_difference }) => [
        ...[cell === "" ? split : `${cell}, ${split}`, shown(num_items), String(num_seeds)],
        detectable_difference === undefined ? "?" : `${(100 * detectable_difference).toFixed(1)} points`,
      ]),
    ),
  ].join("\n");
}

const add = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a + b;

/** By the finished runs of the same entry. */
function predicted(runs: readonly RunWork[]): string {
  const seconds = remainingSeconds(runs);
  return seconds === undefined
    ? "How long they take is known once one run of each entry is finished."
    : `By the finished runs: ${duration(seconds)} of work.`;
}

/** Seconds of the runs that are not finished; undefined while an entry of theirs has no finished run. */
export function remainingSeconds(runs: readonly RunWork[]): number | undefined {
  const finished = runs.filter(({ state }) => state === "finished");
  let sum = 0;
  for (const { entry, seconds } of runs.filter(({ state }) => state !== "finished")) {
    const alike = finished.filter((other) => other.entry === entry);
    if (alike.length === 0) return undefined;
    sum += Math.max(0, alike.reduce((total, other) => total + other.seconds, 0) / alike.length - seconds);
  }
  return sum;
}
