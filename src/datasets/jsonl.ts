import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import type { Sample } from "../batches/sample.js";
import { UserError } from "../errors.js";
import { checkIndex, type Dataset, defineDataset } from "./dataset.js";
import { readLines } from "./jsonl/lines.js";
import { BadRow, parseRow } from "./jsonl/row.js";

/** Bad rows spelled out in the message; the others are counted. */
const num_listed = 20;

/** JSON Lines with the keys of MAYE's data sets: {question, answer, solution?, id?, image?}, one object a line. */
export const jsonl = defineDataset({
  name: "jsonl",
  params: z.strictObject({
    path: z.string().min(1),
    /** Where relative image paths start; absent: the folder of the file. */
    image_folder: z.string().min(1).optional(),
    /** Further keys that rows may have; their values are not read. */
    ignore_keys: z.array(z.string()).default([]),
  }),
  async open({ path, image_folder, ignore_keys }, { base_folder }): Promise<Dataset> {
    const file = resolve(base_folder, path);
    const folder = image_folder === undefined ? dirname(file) : resolve(base_folder, image_folder);
    const rows = await readRows(file, folder, new Set(ignore_keys));
    return {
      name: path,
      length: rows.length,
      async get(index) {
        checkIndex({ name: path, length: rows.length }, index);
        return rows[index]!;
      },
    };
  },
});

async function readRows(file: string, folder: string, ignore_keys: ReadonlySet<string>): Promise<readonly Sample[]> {
  const rows: Sample[] = [];
  const lines_by_id = new Map<string, number>();
  const lines_by_image = new Map<string, number[]>();
  const problems: Problem[] = [];
  for await (const { line, bytes } of readLines(file)) {
    try {
      const row = parseRow(bytes, { line, folder, ignore_keys });
      if (row === undefined) continue;
      const first = lines_by_id.get(row.id);
      if (first !== undefined) throw new BadRow(`id "${row.id}" is already used in line ${first}; ids must be unique`);
      lines_by_id.set(row.id, line);
      for (const image of row.images) if ("path" in image) push(lines_by_image, image.path, line);
      rows.push(row);
    } catch (error) {
      if (!(error instanceof BadRow)) throw error;
      problems.push({ line, what: error.message });
    }
  }
  problems.push(...(await missingImages(lines_by_image)));
  if (problems.length > 0) throw invalid(file, problems);
  if (rows.length === 0)
    throw new UserError(
      "DATASET_INVALID",
      `${file} has no rows`,
      'Write one JSON object a line: {"question": "...", "answer": "...", "image": "photo.png"}.',
    );
  return rows;
}

interface Problem {
  readonly line: number;
  readonly what: string;
}

async function missingImages(lines_by_image: ReadonlyMap<string, readonly number[]>): Promise<readonly Problem[]> {
  const problems: Problem[] = [];
  const images = lines_by_image.entries();
  const work = async (): Promise<void> => {
    for (const [path, lines] of images) {
      const found = await stat(path).catch(() => undefined);
      const what =
        found === undefined
          ? "does not exist"
          : !found.isFile()
            ? "is not a file"
            : found.size === 0
              ? "is empty"
              : undefined;
      if (what !== undefined) problems.push(...lines.map((line) => ({ line, what: `image ${path} ${what}` })));
    }
  };
  await Promise.all(Array.from({ length: 16 }, work)); // they share the iterator
  return problems;
}

function invalid(file: string, problems: readonly Problem[]): UserError {
  const sorted = problems.toSorted((a, b) => a.line - b.line).map(({ line, what }) => `${file}:${line}: ${what}`);
  const listed = sorted.slice(0, num_listed).map((text) => `  ${text}`);
  if (sorted.length > num_listed) listed.push(`  and ${sorted.length - num_listed} more`);
  return new UserError(
    "DATASET_INVALID",
    sorted.length === 1 ? sorted[0]! : `${sorted.length} problems in ${file}\n${listed.join("\n")}`,
    "Each line is one JSON object with question and answer, and if wanted image (a path or a list of paths), solution " +
      "and id. Relative image paths start at image_folder, or else at the folder of the file.",
  );
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, [value]);
  else values.push(value);
}
