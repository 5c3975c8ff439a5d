import { basename, join } from "node:path";
import type { z } from "zod";
import { batchArithmetic } from "../config/arithmetic.js";
import { type LoadedConfig, loadConfig } from "../config/load.js";
import { withModulePaths } from "../config/module-paths.js";
import { type SftConfig, sftConfigSchema, type TrainConfig, trainConfigSchema } from "../config/schema.js";
import { UserError } from "../errors.js";
import type { TrainEvent } from "../pipeline/events.js";
import { loadProcessor } from "../pipeline/data/processor.js";
import { checkAdapterFolder } from "../pipeline/adapter-folder.js";
import { locateModels } from "../pipeline/model-folder.js";
import { openTrainingSet } from "../pipeline/open-data.js";
import type { RunOptions } from "../pipeline/open-run.js";
import { planMemory } from "../pipeline/plan-memory.js";
import { runSft, runTrain } from "../pipeline/run.js";
import { alone, type Ranks } from "../ranks/ranks.js";
import { downloadBar } from "./download-bar.js";
import { dryRunText } from "./dry-run.js";
import { fail } from "./fail.js";
import { untilInterrupted } from "./interrupt.js";
import { joinRanks } from "./join-ranks.js";
import { launchRanks } from "./launch-ranks.js";
import { type LoadingBar, loadingBar } from "./loading-bar.js";
import { presenter } from "./present.js";
import type { RunArguments } from "./run-options.js";

/** `sightloop train` */
export async function trainCommandLine(args: RunArguments): Promise<void> {
  const loaded = await load(trainConfigSchema, args);
  const { config } = loaded;
  if (args["dry-run"]) await dryRun(args, loaded);
  else if (args.nproc !== undefined) await launchRanks(args, config.run_folder!);
  else
    await run(args, config, (signal, watched) => runTrain(config, runOptions("train", args, config, watched), signal));
}

/** `sightloop sft` */
export async function sftCommandLine(args: RunArguments): Promise<void> {
  const loaded = await load(sftConfigSchema, args);
  const { config } = loaded;
  if (args["dry-run"]) await dryRun(args, loaded);
  else if (args.nproc !== undefined) await launchRanks(args, config.run_folder!);
  else await run(args, config, (signal, watched) => runSft(config, runOptions("sft", args, config, watched), signal));
}

async function load<S extends z.ZodType<TrainConfig | SftConfig>>(
  schema: S,
  args: RunArguments,
): Promise<LoadedConfig<z.infer<S>>> {
  const folder = args["run-folder"];
  const file = args.config ?? (args.resume && folder !== undefined ? join(folder, "config.yaml") : undefined);
  if (file === undefined)
    throw new UserError(
      "CONFIG_INVALID",
      "no config given",
      "Name a YAML file, or resume a run by --run-folder <folder> --resume.",
    );
  const loaded = withModulePaths(await loadConfig(schema, file, args.set));
  if (folder !== undefined) return replaceRunFolder(loaded, folder, "--run-folder");
  if (loaded.config.run_folder !== null) return loaded;
  if (args.resume)
    throw new UserError("CONFIG_INVALID", "--resume needs to know the run's folder", "Add --run-folder <folder>.");
  const name = basename(file).replace(/\.ya?ml$/, "");
  return replaceRunFolder(loaded, join("runs", `${name}-${timestamp()}`), "default");
}

const replaceRunFolder = <T extends object>(
  loaded: LoadedConfig<T>,
  folder: string,
  origin: string,
): LoadedConfig<T> => ({
  config: { ...loaded.config, run_folder: folder },
  origins: new Map([...loaded.origins, ["run_folder", origin]]),
});

/** Local time, sortable, usable in a file name: 20250131-235959. */
export function timestamp(now = new Date()): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  return `${day}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
}

/** What a person sees before the first step. */
interface Watched extends Pick<RunOptions, "hub"> {
  readonly loading: Pick<LoadingBar, "show">;
  readonly ranks: Ranks;
}

const runOptions = (
  verb: string,
  args: RunArguments,
  config: TrainConfig | SftConfig,
  { loading, hub, ranks }: Watched,
): RunOptions => ({
  resume: args.resume,
  command: `sightloop ${verb} --run-folder ${config.run_folder} --resume`,
  base_folder: process.cwd(),
  on_loading: loading.show,
  hub,
  ranks,
});

type Start = (signal: AbortSignal, watched: Watched) => AsyncGenerator<TrainEvent>;

async function run(args: RunArguments, config: TrainConfig | SftConfig, start: Start): Promise<void> {
  using interrupt = untilInterrupted();
  const ranks = await joinRanks(args, config);
  if (ranks === undefined) return await present(args, config, start, { ranks: alone, signal: interrupt.signal });
  // A process of several never stays behind, whatever still waits in it.
  try {
    const watched = { ranks, signal: ranks.watch(interrupt.signal) };
    await (ranks.rank === 0 ? present(args, config, start, watched) : follow(start, watched));
    await ranks.leave();
  } catch (error) {
    await ranks.leave(error);
    fail(error);
  }
  process.exit();
}

interface Joined {
  readonly ranks: Ranks;
  readonly signal: AbortSignal;
}

async function present(
  args: RunArguments,
  { model }: TrainConfig | SftConfig,
  start: Start,
  { ranks, signal }: Joined,
): Promise<void> {
  using loading = loadingBar(`loading ${model.path}`);
  using download = downloadBar();
  using show = presenter(args);
  for await (const event of start(signal, { loading, ranks, hub: { signal, on_progress: download.show } })) {
    loading.clear();
    download.clear();
    tellPlace(ranks, event);
    show(event);
  }
}

/** A rank other than the first is quiet. */
async function follow(start: Start, { ranks, signal }: Joined): Promise<void> {
  for await (const event of start(signal, { loading: { show: () => {} }, ranks, hub: { signal } }))
    tellPlace(ranks, event);
}

function tellPlace(ranks: Ranks, event: TrainEvent): void {
  if (event.type === "progress") ranks.at(event.phase, event.step);
}

async function dryRun(args: RunArguments, { config, origins }: LoadedConfig<TrainConfig | SftConfig>): Promise<void> {
  using download = downloadBar();
  const hub = { on_progress: download.show };
  const samples = await openTrainingSet(config.datasets.train, { base_folder: process.cwd(), hub });
  const num_items = samples.length;
  const arithmetic = batchArithmetic(config, num_items);
  const { config: located } = await locateModels(config, hub);
  if (config.model.lora?.path != null) await checkAdapterFolder(config.model.lora.path);
  const { plan: memory } = await planMemory(located, await loadProcessor(located.model.path), samples);
  if (args.json) console.log(JSON.stringify({ config, origins: Object.fromEntries(origins), arithmetic, memory }));
  else console.log(dryRunText({ config, origins, arithmetic, num_items, memory }));
}
