import type { Sample } from "../../batches/sample.js";
import { UserError } from "../../errors.js";
import { checkIndex, type Dataset, type OpenOptions } from "../dataset.js";
import { BadRow, badRows, type RowProblem } from "./bad-row.js";
import { missingImages } from "./image-paths.js";

/** A row where it stands in its file; `read` makes samples of it. */
export interface RawRow {
  readonly line: number;
  /** None for a blank line. @throws BadRow */
  readonly read: () => readonly Sample[];
}

export interface TableOptions extends Pick<OpenOptions, "on_bad_row"> {
  readonly name: string;
  readonly file: string;
  /** What to do about a bad row. */
  readonly hint: string;
  /** What to do about a file without rows. */
  readonly hint_empty: string;
  readonly pinned_path?: string | undefined;
}

/**
 * A dataset of rows that fit into memory, each checked as far as that goes without decoding images.
 * @throws UserError DATASET_INVALID that lists the bad rows, unless `on_bad_row` hears of them
 */
export async function tableOf(rows: AsyncIterable<RawRow>, options: TableOptions): Promise<Dataset> {
  const { name, file, on_bad_row } = options;
  const good: { readonly line: number; readonly sample: Sample }[] = [];
  const lines_by_id = new Map<string, number>();
  const problems: (RowProblem & { readonly line: number })[] = [];
  const report = (line: number, what: string): void => void problems.push({ line, place: `${file}:${line}`, what });
  for await (const { line, read } of rows) {
    try {
      for (const sample of read()) {
        const first = lines_by_id.get(sample.id);
        if (first !== undefined)
          throw new BadRow(`id "${sample.id}" is already used in line ${first}; ids must be unique`);
        lines_by_id.set(sample.id, line);
        good.push({ line, sample });
      }
    } catch (error) {
      if (!(error instanceof BadRow)) throw error;
      report(line, error.message);
    }
  }
  const pathsOf = ({ images }: Sample) => images.flatMap((image) => ("path" in image ? [image.path] : []));
  const missing = await missingImages(good.flatMap(({ sample }) => pathsOf(sample)));
  const kept = good.filter(({ line, sample }) => {
    const wrong = pathsOf(sample).flatMap((path) => missing.get(path) ?? []);
    for (const what of wrong) report(line, what);
    return wrong.length === 0;
  });
  problems.sort((a, b) => a.line - b.line);
  if (problems.length > 0 && on_bad_row === undefined) throw badRows(file, problems, options.hint);
  problems.forEach((problem) => on_bad_row?.(problem));
  if (kept.length === 0 && problems.length === 0)
    throw new UserError("DATASET_INVALID", `${file} has no rows`, options.hint_empty);
  return {
    name,
    length: kept.length,
    pinned_path: options.pinned_path,
    place: (index) => `${file}:${kept[index]!.line}`,
    async get(index) {
      checkIndex({ name, length: kept.length }, index);
      return kept[index]!.sample;
    },
  };
}
