import { z } from "zod";
import type { Dataset, OpenOptions } from "./dataset.js";
import { fashionGrid } from "./fashion-grid.js";
import { geometryFigures } from "./geometry-figures.js";
import { jsonl } from "./jsonl.js";
import { llamaFactory } from "./llama-factory.js";
import { parquet } from "./parquet.js";

/** Every dataset that a config can name. */
const definitions = [fashionGrid, geometryFigures, jsonl, llamaFactory, parquet] as const;

type Schemas<T extends readonly { readonly schema: z.ZodObject }[]> = { [I in keyof T]: T[I]["schema"] };

export const datasetSchema = z.discriminatedUnion(
  "name",
  definitions.map((definition) => definition.schema) as unknown as Schemas<typeof definitions>,
);
export type DatasetConfig = z.infer<typeof datasetSchema>;

export async function openDataset(config: DatasetConfig, options: OpenOptions): Promise<Dataset> {
  const definition = definitions.find(({ name }) => name === config.name)!;
  return definition.open(config as never, options);
}
