import type { Sample } from "../../batches/sample.js";
import { BadRow } from "../reading/bad-row.js";
import { imagePaths } from "../reading/image-paths.js";
import { objectOf, parseJson, stringOf, textOf, utf8 } from "../reading/values.js";

export interface RowOptions {
  /** From 1; the id of a row that has none. */
  readonly line: number;
  /** Where relative image paths start. */
  readonly folder: string;
  readonly ignore_keys: ReadonlySet<string>;
}

const keys = ["question", "answer", "solution", "id", "image"];
const meant: Readonly<Record<string, string>> = {
  images: "image",
  image_path: "image",
  problem: "question",
  prompt: "question",
  query: "question",
  ground_truth: "answer",
  label: "answer",
};

/** Undefined for a blank line. @throws BadRow */
export function parseRow(bytes: Uint8Array, { line, folder, ignore_keys }: RowOptions): Sample | undefined {
  const text = utf8(bytes);
  if (text.trim() === "") return undefined;
  const row = objectOf(parseJson(text), '{"question": ..., "answer": ...}');
  for (const key of Object.keys(row)) {
    if (keys.includes(key) || ignore_keys.has(key)) continue;
    const suggestion = meant[key] === undefined ? "" : ` (did you mean "${meant[key]}"?)`;
    throw new BadRow(`unknown key "${key}"${suggestion}; remove it or list it in ignore_keys`);
  }
  const given = (key: string): unknown => (ignore_keys.has(key) ? undefined : (row[key] ?? undefined));
  const solution = given("solution");
  return {
    id: given("id") === undefined ? String(line) : textOf("id", given("id")),
    question: stringOf("question", given("question")),
    answer: textOf("answer", given("answer")),
    ...(solution !== undefined && { solution: stringOf("solution", solution) }),
    images: imagePaths("image", given("image"), folder),
  };
}
