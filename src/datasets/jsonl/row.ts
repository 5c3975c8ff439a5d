import { resolve } from "node:path";
import type { ImageSource, Sample } from "../../batches/sample.js";

/** What is wrong with one row, and the way out; the caller adds file and line. */
export class BadRow extends Error {}

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
  const text = decode(bytes);
  if (text.trim() === "") return undefined;
  const row = parseObject(text);
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
    images: imagesOf(given("image"), folder),
  };
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new BadRow("not UTF-8 text; convert the file to UTF-8 (and unpack it if it is compressed)");
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new BadRow(`not valid JSON: ${(error as Error).message}; write one complete object a line`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new BadRow(`expected an object, got ${show(value)}; write {"question": ..., "answer": ...}`);
  return value as Record<string, unknown>;
}

function stringOf(key: string, value: unknown): string {
  if (value === undefined) throw new BadRow(`"${key}" is missing; add it`);
  if (typeof value !== "string") throw new BadRow(`"${key}" is ${show(value)}; expected text`);
  if (value.trim() === "") throw new BadRow(`"${key}" is empty; fill it in or remove the row`);
  return value;
}

/** Text, or a number turned into text. */
function textOf(key: string, value: unknown): string {
  if (typeof value !== "number") return stringOf(key, value);
  if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value)))
    throw new BadRow(`"${key}" is a number that JSON cannot carry exactly; write it as text, in quotes`);
  return String(value);
}

function imagesOf(value: unknown, folder: string): readonly ImageSource[] {
  if (value === undefined) return [];
  const paths: readonly unknown[] = Array.isArray(value) ? value : [value];
  return paths.map((path) => {
    if (typeof path !== "string") throw new BadRow(`"image" holds ${show(path)}; expected a path or a list of paths`);
    if (path.trim() === "") throw new BadRow('"image" holds an empty path; remove it');
    if (/^(https?|data|file):/i.test(path))
      throw new BadRow(`"image" is ${show(path)}; download the image and give its path`);
    return { path: resolve(folder, path) };
  });
}

function show(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value);
  } catch {
    return "a value that is nested too deeply";
  }
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
