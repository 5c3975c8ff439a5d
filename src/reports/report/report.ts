import { join } from "node:path";
import { UserError } from "../../errors.js";
import { groupRuns, differingValues, type RunGroup } from "../read/groups.js";
import { condensed, type Problem } from "../read/problem.js";
import { findRunFolders, readRun, type Run, shortNames } from "../read/run-folder-reader.js";
import { type StepTime, stepTime } from "../read/step-time.js";
import { evaluationFigures, type Figure, type FigureSection, metricSections } from "./curves.js";
import { type ExampleSample, examplesOf, reflectiveExamplesOf } from "./examples.js";
import { drawSections, type Pictures, pictures } from "./pictures.js";
import { readRollouts } from "./read-rollouts.js";
import { type ReflectionPoint, reflectionCurves } from "./reflection-curves.js";
import { reflectionFigures } from "./reflection-figures.js";
import type { Table } from "./table.js";
import { evaluationTable, reflectionTable, selectedTable, stepTimeTable, trainingTable } from "./tables.js";

/** Everything a report shows, before it is drawn. */
export interface Report {
  readonly title: string;
  readonly groups: readonly RunGroup<Run>[];
  readonly sections: readonly FigureSection[];
  readonly tables: readonly Table[];
  readonly step_times: readonly (StepTime & { readonly name: string })[];
  /** Config keys in which the groups differ: [key, a value for each group]. */
  readonly differing: readonly (readonly [key: string, values: readonly string[]])[];
  readonly examples: readonly ExampleSample[];
  /** That reflected and were right. */
  readonly reflective_examples: readonly ExampleSample[];
  readonly problems: readonly (Problem & { readonly run: string })[];
  /** Correct completions that reflect, of all runs; with an output, listed there in reflective-correct.jsonl. */
  readonly num_reflective: number;
  /** Begun in the output. */
  readonly pictures: Pictures | undefined;
  /** Of each run folder that keeps rollouts, in whole words. */
  readonly reflection: ReadonlyMap<string, readonly ReflectionPoint[]>;
  /** The same as the paper counts, anywhere in a text. */
  readonly reflection_substring: ReadonlyMap<string, readonly ReflectionPoint[]>;
}

export interface ReportOptions {
  readonly title?: string | undefined;
  /** Which runs are seeds of one curve; absent: those whose configs agree but for the seed. */
  readonly group?: ((runs: readonly Run[]) => readonly RunGroup<Run>[]) | undefined;
  /** Names the folder that the report will be written to: what takes long is begun there while the runs are read. */
  readonly output?: ((runs: readonly Run[]) => string | undefined) | undefined;
}

/** Completions of at most so many steps of a run are searched for reflection words. */
const max_reflection_steps = 200;

/**
 * Reads runs and what they compare to. A folder that is no run is searched for runs below it.
 * @throws UserError FILE_NOT_FOUND if a folder holds no run
 */
export async function buildReport(folders: readonly string[], options: ReportOptions = {}): Promise<Report> {
  const { title, group = groupRuns } = options;
  const runs = await readRuns(folders);
  const groups = group(runs);
  const output = options.output?.(runs);
  const drawn = output === undefined ? undefined : pictures(join(output, "figures"));
  const metric_sections = withEvaluations(metricSections(groups), evaluationFigures(groups));
  if (drawn !== undefined) drawSections(drawn, metric_sections, groups.length > 1);
  const rollouts = await readRollouts(
    groups.flatMap((group) => group.runs),
    output && join(output, "reflective-correct.jsonl"),
  );
  const reflection = new Map(
    [...rollouts.steps].map(([folder, steps]) => [folder, reflectionCurves(steps, max_reflection_steps)]),
  );
  const reflection_groups = groups.map(({ name, runs: members }) => ({
    name,
    curves: members.map(({ folder }) => reflection.get(folder)!.word),
  }));
  const step_times = groups.flatMap(({ name, runs: members }) => {
    const time = stepTime(members.flatMap((run) => run.metrics.steps));
    return time === undefined ? [] : [{ name, ...time }];
  });
  const differing = differingValues(groups.map((group) => group.runs[0]!.config));
  const tables = [
    evaluationTable(groups),
    selectedTable(groups),
    trainingTable(groups),
    reflectionTable(reflection_groups),
    ...step_times.map((time) => stepTimeTable(time.name, time)),
  ];
  const readableSteps = ({ folder }: Run): readonly number[] =>
    rollouts.steps.get(folder)!.flatMap(({ step, is_readable }) => (is_readable ? [step] : []));
  const ofFirstRuns = async (choose: typeof examplesOf): Promise<readonly ExampleSample[]> =>
    (await Promise.all(groups.map(({ name, runs: [first] }) => choose(first!, readableSteps(first!), name)))).flat();
  return {
    title: title ?? groups.map(({ name }) => name).join(" · "),
    ...{ groups, step_times, num_reflective: rollouts.num_reflective, pictures: drawn },
    sections: [...metric_sections, ...reflectionFigures(reflection_groups)],
    tables: tables.filter(({ rows }) => rows.length > 0),
    differing: [...(differing[0]?.keys() ?? [])].map((key) => [key, differing.map((values) => values.get(key) ?? "-")]),
    examples: await ofFirstRuns(examplesOf),
    reflective_examples: await ofFirstRuns(reflectiveExamplesOf),
    problems: runs.flatMap((run) => {
      const of_rollouts = reflection.get(run.folder)?.problems ?? [];
      return condensed([...run.problems, ...of_rollouts]).map((problem) => ({ ...problem, run: run.name }));
    }),
    reflection: new Map([...reflection].map(([folder, { word }]) => [folder, word])),
    reflection_substring: new Map([...reflection].map(([folder, { substring }]) => [folder, substring])),
  };
}

/** They come first, under the heading of the rewards. */
function withEvaluations(sections: readonly FigureSection[], figures: readonly Figure[]): readonly FigureSection[] {
  const title = "Accuracy and reward";
  if (figures.length === 0) return sections;
  const rewards = sections.find((section) => section.title === title)?.figures ?? [];
  return [{ title, figures: [...figures, ...rewards] }, ...sections.filter((section) => section.title !== title)];
}

async function readRuns(folders: readonly string[]): Promise<readonly Run[]> {
  const found: string[] = [];
  for (const folder of folders) {
    const here = await findRunFolders(folder);
    if (here.length === 0)
      throw new UserError(
        "FILE_NOT_FOUND",
        `${folder} holds no run (no config.yaml or metrics.jsonl in it or below it)`,
        "Name a run folder, as `run_folder` in the run's config, or a folder of runs.",
      );
    for (const path of here) if (!found.includes(path)) found.push(path);
  }
  const names = shortNames(found);
  return Promise.all(found.map((folder, i) => readRun(folder, names[i])));
}
