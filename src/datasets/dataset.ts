import { z } from "zod";
import type { Sample } from "../batches/sample.js";

/** Samples by position; the same index always gives the same sample. */
export interface Dataset {
  readonly name: string;
  readonly length: number;
  get(index: number): Promise<Sample>;
}

export interface OpenOptions {
  /** Where relative paths of the parameters start. */
  readonly base_folder: string;
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
