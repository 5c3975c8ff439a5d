import type { SftConfig, TrainConfig } from "../config/schema.js";
import { splitDataset } from "../config/splits.js";
import type { OpenOptions as DatasetOptions } from "../datasets/dataset.js";
import { openDataset } from "../datasets/registry.js";
import { UserError } from "../errors.js";
import type { IndexedSamples, SampleSource } from "./data/stream.js";

/** @throws UserError for `custom`: a file cannot say which samples a program gave. */
export async function openTrainingSet(
  dataset: TrainConfig["datasets"]["train"],
  options: DatasetOptions,
): Promise<IndexedSamples> {
  if (dataset.name !== "custom") return openDataset(dataset, options);
  throw new UserError(
    "CONFIG_INVALID",
    "datasets.train is custom: its samples were given by a program",
    "Resume such a run from that program, or name a dataset that a file can describe.",
  );
}

/** The config with the commit of a training set on the hub, so that a resumed run goes on with the same rows. */
export function withPinnedData<T extends TrainConfig | SftConfig>(config: T, source: SampleSource): T {
  const path = "pinned_path" in source ? source.pinned_path : undefined;
  if (path === undefined || !("path" in config.datasets.train)) return config;
  return { ...config, datasets: { ...config.datasets, train: { ...config.datasets.train, path } } };
}

export const isIndexed = (source: SampleSource): source is IndexedSamples => "get" in source && "length" in source;

export async function openSplits(
  config: TrainConfig | SftConfig,
  options: DatasetOptions,
): Promise<Readonly<Record<string, IndexedSamples>>> {
  const opened: [string, IndexedSamples][] = [];
  for (const split of ["validation", "test", ...Object.keys(config.datasets.tests)]) {
    const dataset = config.evaluate.splits.includes(split) ? splitDataset(config.datasets, split) : null;
    if (dataset !== null) opened.push([split, await openDataset(dataset, options)]);
  }
  return Object.fromEntries(opened);
}

/** Fractional; undefined without `evaluate.every_epochs`. */
export function stepsBetweenEvaluations(
  config: TrainConfig | SftConfig,
  num_items: number | undefined,
): number | undefined {
  const { every_epochs } = config.evaluate;
  if (every_epochs === undefined) return undefined;
  if (num_items !== undefined) return (every_epochs * num_items) / config.prompts_per_step;
  throw new UserError(
    "CONFIG_INVALID",
    "evaluate.every_epochs: the training set has no known size, so its passes cannot be counted",
    "Give evaluate.every_steps instead.",
  );
}
