import { join } from "node:path";
import { UserError } from "../../errors.js";
import type { RunGroup } from "../../reports/read/groups.js";
import { isRunFolder, type Run } from "../../reports/read/run-folder-reader.js";
import { buildReport, type Report } from "../../reports/report/report.js";
import type { StudyPlan } from "../plan.js";
import type { RunState } from "../state.js";
import { compare, pairsOf } from "./comparisons.js";
import { studyFigures } from "./figures.js";
import { type Finding, findingsTable, generalizationFinding, lengthFinding, reflectionFinding } from "./findings.js";
import { type Kind, kindsOf, type Measured, measuredEntries, nameOf } from "./measured.js";
import { type Outcome, outcomesOf } from "./resampled.js";
import { accuracyTable, aggregateTable, comparisonTable, costTable } from "./tables.js";

export interface StudyReport {
  readonly report: Report;
  readonly findings: readonly Finding[];
}

/**
 * The report of the study's runs, with its tables before theirs; `output`, if given, is where reflective-correct.jsonl is written. Tables and tests take finished runs, figures all.
 * @throws UserError FILE_NOT_FOUND while no run has begun
 */
export async function studyReport(
  plan: StudyPlan,
  states: ReadonlyMap<string, RunState>,
  output?: string,
): Promise<StudyReport> {
  const { study, folder } = plan;
  const trained = plan.runs.filter(({ kind }) => kind === "sft" || kind === "train");
  const has_files = await Promise.all(trained.map(({ id }) => isRunFolder(join(folder, id))));
  const folders = trained.filter((_, i) => has_files[i]).map(({ id }) => join(folder, id));
  if (folders.length === 0)
    throw new UserError(
      "FILE_NOT_FOUND",
      `${folder} holds no run of the study yet`,
      "Start the study without --report-only.",
    );
  const report = await buildReport(folders, {
    title: study.name,
    group: (runs) => groupsOf(plan, runs),
    output: () => output,
  });
  const runs = report.groups.flatMap((group) => group.runs);
  const isFinished = (id: string): boolean => states.get(id)?.state === "finished";
  const entries = measuredEntries(plan, runs, isFinished);
  const setting = study.report.setting ?? kindsOf(entries)[0]?.setting ?? "";
  const outcomesAt = remembered(entries);
  const splits = [...new Set(kindsOf(entries).map(({ split }) => split))];
  const at = (cell: string, names: readonly string[]) =>
    new Map(names.map((split) => [split, outcomesAt(cell, { split, setting })] as const));
  const cells = [...new Set(entries.map(({ cell }) => cell))];
  const pairs = pairsOf(entries, study.report);
  const by_split = new Map(
    splits.map(
      (split) => [split, new Map(cells.flatMap((cell) => [...outcomesAt(cell, { split, setting })]))] as const,
    ),
  );
  const comparisons = compare(pairs, by_split, study.report);
  const reflectionOf = (path: string) => report.reflection.get(path) ?? [];
  const { alpha, in_distribution, out_of_distribution, baseline } = study.report;
  const known = (names: readonly string[]) => names.filter((name) => splits.includes(name));
  const rl = entries.filter(({ kind }) => kind === "train");
  const findings = [
    ...rl.map((entry) => lengthFinding(entry, alpha)),
    ...rl.map((entry) => reflectionFinding(entry, reflectionOf, alpha)),
    ...rl.map((entry) => {
      const sft = entries.filter((one) => one.kind === "sft" && one.cell === entry.cell && one.entry !== baseline);
      const inside = [...at(entry.cell, known(in_distribution)).values()];
      const outside = [...at(entry.cell, known(out_of_distribution)).values()];
      return generalizationFinding(entry, sft, { inside, outside });
    }),
  ];
  const secondsOf = ({ cell, entry }: Measured): readonly number[] =>
    plan.runs
      .filter((run) => run.cell === cell && run.entry === entry)
      .flatMap(({ id }) => states.get(id)?.seconds ?? []);
  const tables = [
    findingsTable(findings),
    accuracyTable(entries, outcomesAt),
    comparisonTable(comparisons, setting, study.report),
    aggregateTable(entries, setting),
    costTable(entries, secondsOf),
  ].filter(({ rows }) => rows.length > 0);
  return {
    findings,
    report: {
      ...report,
      tables: [...tables, ...report.tables],
      sections: [...report.sections, ...studyFigures(report.groups, reflectionOf)],
      problems: [...report.problems, ...unfinished(plan, states)],
    },
  };
}

/** Seeds of an entry are one curve, whatever their configs say. */
function groupsOf({ study, folder, runs: planned }: StudyPlan, runs: readonly Run[]): readonly RunGroup<Run>[] {
  const groups = new Map<string, Run[]>();
  for (const { id, cell, entry } of planned) {
    const run = runs.find((one) => one.folder === join(folder, id));
    if (run === undefined) continue;
    const name = nameOf(cell, entry, study.entries[entry]!);
    groups.set(name, [...(groups.get(name) ?? []), run]);
  }
  return [...groups].map(([name, members]) => ({ name, runs: members }));
}

function remembered(entries: readonly Measured[]) {
  const known = new Map<string, ReadonlyMap<Measured, Outcome>>();
  return (cell: string, kind: Kind): ReadonlyMap<Measured, Outcome> => {
    const key = `${cell}\n${kind.split}\n${kind.setting}`;
    const found =
      known.get(key) ??
      outcomesOf(
        entries.filter((entry) => entry.cell === cell),
        kind,
      );
    known.set(key, found);
    return found;
  };
}

/** Runs that the tables lack. */
const unfinished = ({ runs }: StudyPlan, states: ReadonlyMap<string, RunState>) =>
  runs.flatMap(({ id }) => {
    const known = states.get(id);
    if (known?.state === "finished") return [];
    const why = known === undefined ? "it was not started" : (known.error ?? "it is not finished");
    return [{ run: id, file: "run", message: `not in the study's tables: ${why}` }];
  });
