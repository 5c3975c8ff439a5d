import { createHash } from "node:crypto";
import { access } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { loadConfig } from "../config/load.js";
import { withModulePaths } from "../config/module-paths.js";
import { type SftConfig, sftConfigSchema, type TrainConfig, trainConfigSchema } from "../config/schema.js";
import { UserError } from "../errors.js";
import { inOrder, kindOf, needsOf } from "./graph.js";
import { type Entry, type StudyConfig, studySchema } from "./schema.js";

type TrainingConfig = SftConfig | TrainConfig;

/** One process of a study. */
export interface PlannedRun {
  /** Path below the study's folder: `rl/seed-0`, with a grid `small/in/rl/seed-0`. */
  readonly id: string;
  readonly entry: string;
  /** Values of the grid, "small/in"; "" without one. */
  readonly cell: string;
  readonly seed: number;
  readonly kind: "init" | "sft" | "train" | "sample";
  /** Ids of runs that must be finished first: `from` gives the model, `data` the dataset. */
  readonly from: string | undefined;
  readonly data: string | undefined;
  /** Of sft and train; without the model and the dataset that other runs make. */
  readonly config: TrainingConfig | undefined;
  /** Of init and sample. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Hash of all that decides what the run computes. */
  readonly definition: string;
}

export interface StudyPlan {
  readonly study: StudyConfig;
  readonly folder: string;
  /** Each after those it needs. */
  readonly runs: readonly PlannedRun[];
}

/** Stands for a model or a dataset until the run that makes it is finished. */
export const pending_path = "(made by the study)";

/** @throws UserError CONFIG_INVALID, FILE_NOT_FOUND */
export async function planStudy(file: string, set: readonly string[], folder?: string): Promise<StudyPlan> {
  const { config: study } = await loadConfig(studySchema, file, set);
  const order = inOrder(study, file);
  const runs: PlannedRun[] = [];
  for (const [cell, cell_set] of cells(study.grid))
    for (const seed of study.seeds)
      for (const name of order) {
        const entry = study.entries[name]!;
        if (kindOf(entry) === "start_of") {
          checkStart(
            file,
            name,
            runs.find(({ id }) => id === runId(cell, entry.start_of!, seed))!,
          );
          continue;
        }
        runs.push(await planRun({ study, file, cell, cell_set, name, entry, seed }, runs));
      }
  return { study, folder: resolve(folder ?? study.folder ?? join("runs", study.name)), runs };
}

function checkStart(file: string, name: string, { entry, config }: PlannedRun): void {
  if (config!.evaluate.before_training) return;
  throw new UserError(
    "CONFIG_INVALID",
    `${file}: entries.${name}.start_of: "${entry}" is not evaluated before its first step`,
    `Set evaluate.before_training: true in entries.${entry}.set.`,
  );
}

type Overrides = Readonly<Record<string, unknown>>;

/** Every combination of the grid's values: its name, and the overrides of all axes together. */
function cells(grid: StudyConfig["grid"]): readonly (readonly [string, Overrides])[] {
  return Object.values(grid).reduce<(readonly [string, Overrides])[]>(
    (made, values) =>
      made.flatMap(([cell, set]) =>
        Object.entries(values).map(
          ([value, more]) => [cell === "" ? value : `${cell}/${value}`, { ...set, ...more }] as const,
        ),
      ),
    [["", {}]],
  );
}

export const runId = (cell: string, entry: string, seed: number): string =>
  [...(cell === "" ? [] : [cell]), entry, `seed-${seed}`].join("/");

interface Place {
  readonly study: StudyConfig;
  readonly file: string;
  readonly cell: string;
  readonly cell_set: Overrides;
  readonly name: string;
  readonly entry: Entry;
  readonly seed: number;
}

async function planRun(place: Place, before: readonly PlannedRun[]): Promise<PlannedRun> {
  const { cell, cell_set, name, entry, seed } = place;
  const kind = kindOf(entry) as PlannedRun["kind"];
  const idOf = (needed: string | undefined) => needed && runId(cell, needed, seed);
  const [from, data] = [idOf(entry.from), idOf(entry.data)];
  const own = (prefix: string): Overrides =>
    Object.fromEntries(Object.entries(cell_set).flatMap(([key, value]) => prefixed(prefix, key, value)));
  const config = kind === "sft" || kind === "train" ? await trainingConfig(place, kind) : undefined;
  const options =
    kind === "init"
      ? { ...entry.init, ...own("init") }
      : kind === "sample"
        ? { ...entry.sample, ...own("sample") }
        : {};
  const needed = needsOf(entry).map((one) => before.find(({ id }) => id === idOf(one))!.definition);
  const { run_folder: _folder, threads: _threads, ...decisive } = config ?? {};
  const definition = createHash("sha256")
    .update(JSON.stringify([kind, seed, decisive, options, needed]))
    .digest("hex")
    .slice(0, 16);
  return { id: runId(cell, name, seed), entry: name, cell, seed, kind, from, data, config, options, definition };
}

const prefixed = (prefix: string, key: string, value: unknown): readonly (readonly [string, unknown])[] =>
  key.startsWith(`${prefix}.`) ? [[key.slice(prefix.length + 1), value]] : [];

async function trainingConfig(
  { study, file, cell_set, name, entry, seed }: Place,
  kind: "sft" | "train",
): Promise<TrainingConfig> {
  const given = entry[kind]!;
  const path = isAbsolute(given) ? given : join(dirname(file), given);
  await access(path).catch((cause: unknown) => {
    throw new UserError(
      "FILE_NOT_FOUND",
      `${file}: entries.${name}.${kind}: ${path} cannot be read`,
      "Paths start at the folder of the study's file.",
      { cause },
    );
  });
  const of_cell = Object.entries(cell_set).filter(([key]) => !/^(init|sample)\./.test(key));
  const set = [
    ...[...Object.entries(study.set), ...of_cell, ...Object.entries(entry.set)],
    ...[["seed", seed] as const, ["run_folder", null] as const, ["threads", 0] as const],
    ...(entry.from === undefined ? [] : [["model.path", pending_path] as const]),
    ...(entry.data === undefined ? [] : [["datasets.train", { name: "jsonl", path: pending_path }] as const]),
  ].map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  const schema = kind === "sft" ? sftConfigSchema : trainConfigSchema;
  try {
    const loaded = await loadConfig<typeof sftConfigSchema | typeof trainConfigSchema>(schema, path, set);
    return withModulePaths<TrainingConfig>(loaded, dirname(file)).config;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.code, `${file}: entries.${name}: ${error.message}`, error.hint, { cause: error });
  }
}
