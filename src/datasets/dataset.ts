import { z } from "zod";
import type { Sample } from "../batches/sample.js";
import type { HubOptions } from "../hub/options.js";
import type { RowProblem } from "./reading/bad-row.js";

/** Samples by position; the same index always gives the same sample. */
export interface Dataset {
  readonly name: string;
  readonly length: number;
  /** @throws UserError DATASET_INVALID naming the place, where rows are read only when they are asked for */
  get(index: number): Promise<Sample>;
  /** Where the sample comes from, `file:line` or `file:row`; absent for generated samples. */
  readonly place?: (index: number) => string;
  /** The path of the config with the commit it stood for, where that is on the hub. */
  readonly pinned_path?: string | undefined;
}

export interface OpenOptions {
  /** Where relative paths of the parameters start. */
  readonly base_folder: string;
  /** Of downloads from the hub. */
  readonly hub?: HubOptions | undefined;
  /** Hears of every bad row found while opening; such rows are then left out. Absent: they are an error. */
  readonly on_bad_row?: ((problem: RowProblem) => void) | undefined;
}

export interface DatasetDefinition<Name extends string, Shape extends z.ZodRawShape> {
  readonly name: Name;
  /** The parameters and `name`, as they stand in a config. */
  readonly schema: z.ZodObject<{ name: z.ZodLiteral<Name> } & Shape, z.core.$strict>;
  /** @throws UserError DATASET_INVALID that lists every bad row, FILE_NOT_FOUND */
  readonly open: (params: z.output<z.ZodObject<Shape, z.core.$strict>>, options: OpenOptions) => Promise<Dataset>;
}

/** A dataset is one file that calls this, and one line in registry.ts. */
export function defineDataset<const Name extends string, Shape extends z.ZodRawShape>(definition: {
  readonly name: Name;
  readonly params: z.ZodObject<Shape, z.core.$strict>;
  readonly open: DatasetDefinition<Name, Shape>["open"];
}): DatasetDefinition<Name, Shape> {
  const { name, params, open } = definition;
  return { name, schema: z.strictObject({ name: z.literal(name), ...params.shape }), open };
}

/** @throws RangeError for an index the dataset does not have: a bug of the caller. */
export function checkIndex(dataset: Pick<Dataset, "name" | "length">, index: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= dataset.length)
    throw new RangeError(`${dataset.name}: index ${index} is not in 0 .. ${dataset.length - 1}`);
}
