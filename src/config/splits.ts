import type { DatasetConfig } from "../datasets/registry.js";

interface Splits {
  readonly validation: DatasetConfig | null;
  readonly test: DatasetConfig | null;
  /** Further test sets by name. */
  readonly tests: Readonly<Record<string, DatasetConfig>>;
}

/** The dataset of a split; null where none is given. */
export const splitDataset = ({ validation, test, tests }: Splits, split: string): DatasetConfig | null =>
  split === "validation" ? validation : split === "test" ? test : (tests[split] ?? null);

/** The first split that is neither `validation` nor `test` nor one of the further tests. */
export const unknownSplit = ({ tests }: Splits, splits: readonly string[]): string | undefined =>
  splits.find((split) => split !== "validation" && split !== "test" && !(split in tests));
