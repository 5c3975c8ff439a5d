import { z } from "zod";
import { locateDataset } from "../hub/locate.js";
import { UserError } from "../errors.js";
import { checkIndex, type Dataset, defineDataset } from "./dataset.js";
import { chooseColumns } from "./parquet/columns.js";
import { filesOfSplit, findFiles } from "./parquet/files.js";
import { openParquet } from "./parquet/parquet-file.js";
import { rowGroupCache } from "./parquet/row-group-cache.js";
import { sampleOf } from "./parquet/row.js";
import { BadRow } from "./reading/bad-row.js";

const column = z.string().min(1);

/**
 * Parquet as Hugging Face's `datasets` writes it, images embedded as {bytes, path}. Rows are read a row group at a time,
 * when they are asked for.
 */
export const parquet = defineDataset({
  name: "parquet",
  params: z.strictObject({
    /** A file, a folder (all *.parquet below it), or the hub's `org/name`, `hf:org/name[@revision][/folder or file]`. */
    path: z.string().min(1),
    /** Files whose name or folder says so, such as train-00000-of-00002.parquet. Needed where a folder holds several splits. */
    split: z.string().min(1).optional(),
    columns: z
      .strictObject({
        question: column.default("question"),
        answer: column.default("answer"),
        /** null: none. Absent: `solution` if there is one. */
        solution: column.nullable().optional(),
        /** null: rows are named by file and number. Absent: `id` if there is one. */
        id: column.nullable().optional(),
        /** One image or a list: {bytes, path}, bytes, or a path beside the file. null: none. Absent: `images` or `image`. */
        images: column.nullable().optional(),
      })
      .prefault({}),
    /** Decoded row groups kept for the next rows, as bytes; the one in use stays in any case. */
    row_group_cache_bytes: z
      .int()
      .nonnegative()
      .default(2 ** 28),
  }),
  async open(params, { base_folder, hub }): Promise<Dataset> {
    const { path, split } = params;
    const select = (files: readonly string[], inside: string) => filesOfSplit(files, { inside, split, where: path });
    const { path: root, pinned } = await locateDataset(path, { base_folder, hub, select });
    const names = await findFiles(root, split);
    const files = await Promise.all(names.map((name) => openParquet(root, name)));
    const wanted = files.map((file) => chooseColumns(file, params.columns));
    const groups = files.flatMap((file, i) =>
      file.row_groups.map((group, index) => ({ file, columns: wanted[i]!, index, ...group })),
    );
    const starts: number[] = [];
    let length = 0;
    for (const { num_rows } of groups) {
      starts.push(length);
      length += num_rows;
    }
    if (length === 0)
      throw new UserError("DATASET_INVALID", `${root} has no rows`, "Check path and split, or write the files again.");
    const cache = rowGroupCache(params.row_group_cache_bytes);
    const find = (index: number) => {
      checkIndex({ name: path, length }, index);
      const at = lastAtMost(starts, index);
      const group = groups[at]!;
      const row = index - starts[at]!;
      return {
        group,
        row,
        place: `${group.file.path}:${group.first_row + row}`,
        id: `${group.file.name}:${group.first_row + row}`,
      };
    };
    return {
      name: path,
      length,
      pinned_path: pinned,
      place: (index) => find(index).place,
      async get(index) {
        const { group, row, place, id } = find(index);
        const rows = await cache.get(group);
        try {
          return sampleOf(rows[row]!, { columns: group.columns, id, folder: group.file.folder });
        } catch (error) {
          if (!(error instanceof BadRow)) throw error;
          throw new UserError(
            "DATASET_INVALID",
            `${place}: ${error.message}`,
            "Correct or remove the row (rows count from 0); `sightloop data check` lists every bad one.",
          );
        }
      },
    };
  },
});

/** Index of the last of ascending numbers that is at most `value`; empty row groups share their start with the next. */
function lastAtMost(ascending: readonly number[], value: number): number {
  let [low, high] = [0, ascending.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! <= value) low = middle;
    else high = middle;
  }
  return low;
}
