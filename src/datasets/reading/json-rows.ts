import { open, readFile } from "node:fs/promises";
import { BadRow } from "./bad-row.js";
import { readLines, unreadable } from "./lines.js";
import { parseJson, utf8 } from "./values.js";

export interface JsonRow {
  /** Where it starts, from 1. */
  readonly line: number;
  /** Undefined for a blank line. @throws BadRow */
  readonly parse: () => unknown;
}

/** Rows of a file that is JSON Lines, or one JSON list, which is then read whole. @throws UserError FILE_NOT_FOUND */
export async function* readJsonRows(file: string): AsyncGenerator<JsonRow> {
  if (await startsWithList(file)) {
    yield* rowsOfList(await readFile(file));
    return;
  }
  for await (const { line, bytes } of readLines(file)) {
    const parse = (): unknown => {
      const text = utf8(bytes);
      return text.trim() === "" ? undefined : parseJson(text);
    };
    yield { line, parse };
  }
}

async function startsWithList(file: string): Promise<boolean> {
  try {
    await using handle = await open(file);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, 0);
    return buffer.toString("utf8", 0, bytesRead).replace("\ufeff", "").trimStart().startsWith("[");
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

const [quote, backslash, comma, opened, closed] = Buffer.from('"\\,[]');
const [brace_opened, brace_closed, newline] = Buffer.from("{}\n");

/** The elements of a JSON list, each with its line; what is not JSON shows when one is parsed. */
export function* rowsOfList(bytes: Buffer): Generator<JsonRow> {
  let [depth, line, in_string] = [0, 1, false];
  let start: { readonly at: number; readonly line: number } | undefined;
  const element = (end: number): JsonRow => {
    const { at, line } = start!;
    start = undefined;
    return { line, parse: () => parseJson(utf8(bytes.subarray(at, end))) };
  };
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === newline) line += 1;
    if (in_string) {
      if (byte === backslash) at += 1;
      else if (byte === quote) in_string = false;
      continue;
    }
    if (depth === 1 && start !== undefined && (byte === comma || byte === closed)) yield element(at);
    else if (depth === 1 && start === undefined && byte > 0x20 && byte !== comma && byte !== closed)
      start = { at, line };
    if (byte === quote) in_string = true;
    else if (byte === opened || byte === brace_opened) depth += 1;
    else if (byte === closed || byte === brace_closed) depth -= 1;
  }
  if (start === undefined && depth === 0) return;
  const where = start?.line ?? line;
  const parse = (): never => {
    throw new BadRow(
      "the list is not closed: the file was cut off, or a bracket or quotation mark is missing from here on",
    );
  };
  yield { line: where, parse };
}
