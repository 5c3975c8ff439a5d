import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { configYaml } from "../reports/config-file.js";
import { makeFolder, writeAtomically } from "../reports/files.js";
import type { PlannedRun, StudyPlan } from "./plan.js";
import { datasetOf, modelOf, standingOf } from "./run-files.js";

/** Arguments of the command line that makes a run. */
export interface RunCommand {
  readonly args: readonly string[];
  readonly is_resumed: boolean;
  readonly note: string | undefined;
}

export const threadsOf = ({ threads, jobs }: { readonly threads: number; readonly jobs: number }): number =>
  threads || Math.max(1, Math.floor(availableParallelism() / jobs));

/** Clears away what cannot be used, writes the run's config to configs/, and says how to start it. */
export async function commandOf({ study, folder, runs }: StudyPlan, run: PlannedRun): Promise<RunCommand> {
  const own = join(folder, run.id);
  const threads = threadsOf(study);
  const { resume, note } = await standingOf(run, own);
  const common = { is_resumed: resume, note };
  const find = (id: string): PlannedRun => runs.find((one) => one.id === id)!;
  const model = run.from === undefined ? undefined : await modelOf(find(run.from), join(folder, run.from));

  if (run.kind === "init")
    return {
      ...common,
      args: ["init", ...options(run.options), "--output", join(own, "model"), ...seedOf(run), "--json"],
    };
  if (run.kind === "sample") {
    await makeFolder(own);
    const { model: given, dataset, ...rest } = run.options;
    const args = ["sample", ...options({ ...rest, model: model ?? given }), "--dataset", JSON.stringify(dataset)];
    return {
      ...common,
      args: [...args, "--output", join(own, "data"), ...seedOf(run), "--threads", String(threads), "--json"],
    };
  }
  const given = run.config!;
  const config = {
    ...given,
    threads,
    model: { ...given.model, ...(model !== undefined && { path: model }) },
    datasets: {
      ...given.datasets,
      ...(run.data !== undefined && { train: { name: "jsonl", path: datasetOf(join(folder, run.data)) } }),
    },
  };
  const file = join(folder, "configs", `${run.id}.yaml`);
  await makeFolder(dirname(file));
  await writeAtomically(file, configYaml(config));
  return { ...common, args: [run.kind, file, "--run-folder", own, "--json", ...(resume ? ["--resume"] : [])] };
}

const seedOf = ({ seed }: PlannedRun): readonly string[] => ["--seed", String(seed)];

/** `top_p: 1` -> `--top-p 1` */
const options = (values: Readonly<Record<string, unknown>>): readonly string[] =>
  Object.entries(values).flatMap(([key, value]) =>
    value === undefined
      ? []
      : [`--${key.replaceAll("_", "-")}`, typeof value === "string" ? value : JSON.stringify(value)],
  );
