import { readFile, stat } from "node:fs/promises";
import { parse } from "yaml";
import { loadConfig } from "../config/load.js";
import { sftConfigSchema, trainConfigSchema } from "../config/schema.js";
import { type DatasetConfig, datasetSchema } from "../datasets/registry.js";
import { UserError } from "../errors.js";
import { locateModel } from "../hub/locate.js";
import type { HubOptions } from "../hub/options.js";
import { checkData } from "../pipeline/check-data.js";
import { MAX_IMAGE_PIXELS } from "../pipeline/data/image.js";
import { loadProcessor, type Processor } from "../pipeline/data/processor.js";
import { dataReportText } from "./data-report.js";
import { downloadBar } from "./download-bar.js";
import { untilInterrupted } from "./interrupt.js";
import { numberCheck, whole } from "./numbers.js";
import { jsonLine } from "./present.js";
import { rowBar } from "./row-bar.js";
import { yamlOption } from "./yaml-option.js";

export interface DataCheckArguments {
  readonly target: string;
  readonly model: string | undefined;
  readonly set: readonly string[];
  readonly "max-prompt-tokens": number | undefined;
  readonly json: boolean;
}

/** What is to be checked, and what a run would make of it. */
interface Target {
  readonly datasets: Readonly<Record<string, DatasetConfig>>;
  readonly model: string | undefined;
  readonly system_prompt: string | undefined;
  readonly max_prompt_tokens: number;
  readonly max_image_pixels: number;
}

/** `sightloop data check`; whether every row is good. */
export async function dataCheck(args: DataCheckArguments): Promise<boolean> {
  numberCheck("data check", args)("max-prompt-tokens", ...whole(1));
  const target = await readTarget(args);
  using interrupt = untilInterrupted();
  const { signal } = interrupt;
  using download = downloadBar();
  const hub = { signal, on_progress: download.show };
  const { processor, note } = await findProcessor(args, target, hub);
  using bar = rowBar();
  const report = await checkData(target.datasets, {
    ...{ base_folder: process.cwd(), hub, processor, signal, on_progress: bar.show },
    prompt: { system_prompt: target.system_prompt },
    max_prompt_tokens: args["max-prompt-tokens"] ?? target.max_prompt_tokens,
    max_image_pixels: target.max_image_pixels,
  });
  bar.clear();
  const good = report.splits.every(({ bad }) => bad.length === 0);
  console.log(args.json ? jsonLine({ good, note, ...report }) : dataReportText(report, note));
  return good;
}

async function readTarget({ target, set }: DataCheckArguments): Promise<Target> {
  if (/\.ya?ml$/.test(target)) return configTarget(target, set);
  if (set.length > 0)
    throw new UserError(
      "CONFIG_INVALID",
      "--set changes a config, and the target is a dataset",
      "Write the value into the dataset itself.",
    );
  const is_folder = (await stat(target).catch(() => undefined))?.isDirectory() === true;
  const short = target.endsWith(".jsonl")
    ? { name: "jsonl", path: target }
    : target.endsWith(".parquet") || is_folder || target.startsWith("hf:")
      ? { name: "parquet", path: target }
      : undefined;
  const dataset = short === undefined ? yamlOption(datasetSchema, "data check", target) : datasetSchema.parse(short);
  return {
    ...{ datasets: { rows: dataset }, model: undefined, system_prompt: undefined },
    ...{ max_prompt_tokens: Infinity, max_image_pixels: MAX_IMAGE_PIXELS },
  };
}

async function configTarget(file: string, set: readonly string[]): Promise<Target> {
  const schema = (await mentionsAlgorithm(file)) ? trainConfigSchema : sftConfigSchema;
  const { config } = await loadConfig<typeof trainConfigSchema | typeof sftConfigSchema>(schema, file, set);
  const { train, validation, test } = config.datasets;
  const given = Object.entries({ train, validation, test }).filter(([, dataset]) => dataset !== null);
  const datasets = given.map(([split, dataset]): [string, DatasetConfig] => {
    if (dataset!.name !== "custom") return [split, dataset as DatasetConfig];
    throw new UserError(
      "CONFIG_INVALID",
      `${file}: datasets.${split} was given by a program`,
      "Name a dataset that a file can describe.",
    );
  });
  const { system_prompt, max_prompt_tokens, max_image_pixels } = config.prompt;
  return {
    ...{ datasets: Object.fromEntries(datasets), model: config.model.path },
    ...{ system_prompt: system_prompt ?? undefined, max_prompt_tokens, max_image_pixels },
  };
}

/** A config of `train` and not of `sft`. What is wrong with the file is said when it is loaded. */
async function mentionsAlgorithm(file: string): Promise<boolean> {
  try {
    const value: unknown = parse(await readFile(file, "utf8"));
    return typeof value === "object" && value !== null && "algorithm" in value;
  } catch {
    return false;
  }
}

/** Without one, a config's rows are still worth checking. */
async function findProcessor(
  { model }: DataCheckArguments,
  target: Target,
  hub: HubOptions,
): Promise<{ readonly processor: Processor | undefined; readonly note: string | undefined }> {
  const path = model ?? target.model;
  if (path === undefined) return { processor: undefined, note: "tokens are not counted: no --model" };
  try {
    const located = await locateModel(path, hub, "processor");
    return { processor: await loadProcessor(located.path), note: undefined };
  } catch (error) {
    if (model !== undefined || !(error instanceof UserError) || error.code === "INTERRUPTED") throw error;
    return { processor: undefined, note: `tokens are not counted: ${error.message}` };
  }
}
