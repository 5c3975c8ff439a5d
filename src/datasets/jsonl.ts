import { dirname, resolve } from "node:path";
import { z } from "zod";
import { locateDataset } from "../hub/locate.js";
import { type Dataset, defineDataset } from "./dataset.js";
import { parseRow } from "./jsonl/row.js";
import { readLines } from "./reading/lines.js";
import { besideAndBelow } from "./reading/repository.js";
import { type RawRow, tableOf } from "./reading/table.js";

/** JSON Lines with the keys of MAYE's data sets: {question, answer, solution?, id?, image?}, one object a line. */
export const jsonl = defineDataset({
  name: "jsonl",
  params: z.strictObject({
    /** A file, or `hf:org/name[@revision]/file`: the file and all that lies beside and below it are downloaded. */
    path: z.string().min(1),
    /** Where relative image paths start; absent: the folder of the file. */
    image_folder: z.string().min(1).optional(),
    /** Further keys that rows may have; their values are not read. */
    ignore_keys: z.array(z.string()).default([]),
  }),
  async open({ path, image_folder, ignore_keys }, { base_folder, hub, on_bad_row }): Promise<Dataset> {
    const { path: file, pinned } = await locateDataset(path, { base_folder, hub, select: besideAndBelow });
    const folder = image_folder === undefined ? dirname(file) : resolve(base_folder, image_folder);
    return tableOf(rawRows(file, folder, new Set(ignore_keys)), {
      ...{ name: path, file, on_bad_row, pinned_path: pinned },
      hint:
        "Each line is one JSON object with question and answer, and if wanted image (a path or a list of paths), solution " +
        "and id. Relative image paths start at image_folder, or else at the folder of the file.",
      hint_empty: 'Write one JSON object a line: {"question": "...", "answer": "...", "image": "photo.png"}.',
    });
  },
});

async function* rawRows(file: string, folder: string, ignore_keys: ReadonlySet<string>): AsyncGenerator<RawRow> {
  for await (const { line, bytes } of readLines(file)) {
    const read: RawRow["read"] = () => {
      const row = parseRow(bytes, { line, folder, ignore_keys });
      return row === undefined ? [] : [row];
    };
    yield { line, read };
  }
}
