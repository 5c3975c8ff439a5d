import { isAscii } from "node:buffer";
import type { Column } from "./arrow-layout.js";
import type { ColumnType, Region } from "./arrow-metadata.js";

export type Numbers = Int32Array | Float32Array | Float64Array | BigInt64Array;

/** A value of one row: lists of numbers as typed arrays, of bits as booleans, structs as objects. */
export type Cell = number | bigint | boolean | string | Numbers | readonly Cell[] | { readonly [name: string]: Cell };

/** Texts of a whole column are read at once; those of a few rows one by one where the column is long. */
export async function textsIn(
  { kind, num_rows, regions }: Column,
  name: string,
  rows: readonly number[] = Array.from({ length: num_rows }, (_, row) => row),
  bytes: ReadRegion,
): Promise<readonly string[]> {
  if (kind !== "utf8") throw new Error(`column "${name}" is no text`);
  if (rows.length === 0) return [];
  const [at, texts] = regions as [Region, Region];
  const offsets = new Int32Array((await bytes({ start: at.start, length: 4 * (num_rows + 1) })).buffer);
  checkOffsets(offsets, texts.length, name);
  const slice = (row: number): Region => ({ start: offsets[row]!, length: offsets[row + 1]! - offsets[row]! });
  if (rows.length === num_rows || texts.length < 2 ** 18) {
    const data = Buffer.from((await bytes(texts)).buffer);
    if (isAscii(data)) {
      const all = data.toString("latin1");
      return rows.map((row) => all.slice(offsets[row], offsets[row + 1]));
    }
    return rows.map(slice).map(({ start, length }) => data.toString("utf8", start, start + length));
  }
  const read = rows.map(slice).map(({ start, length }) => bytes({ start: texts.start + start, length }));
  return (await Promise.all(read)).map((part) => Buffer.from(part.buffer).toString("utf8"));
}

/** Offsets of rows `row` to `row + count`, both ends included. */
export async function offsetsIn(column: Column, row: number, count: number, bytes: ReadRegion): Promise<Int32Array> {
  if (column.num_rows === 0) return new Int32Array(1);
  const region = { start: column.regions[0]!.start + 4 * row, length: 4 * (count + 1) };
  return new Int32Array((await bytes(region)).buffer);
}

/** Reads all bytes of a region, into a buffer of their own. */
export type ReadRegion = (region: Region) => Promise<Uint8Array>;

export function checkOffsets(offsets: Int32Array, end: number, name: string): void {
  for (let i = 0; i < offsets.length; i++)
    if (offsets[i]! < (i === 0 ? 0 : offsets[i - 1]!) || offsets[i]! > end)
      throw new Error(`column "${name}" has damaged offsets`);
}

export async function cellOf(column: Column, row: number, bytes: ReadRegion): Promise<Cell> {
  const { kind, regions, children } = column;
  if (kind === "struct") {
    const parts = Object.entries(children).map(
      async ([name, child]) => [name, await cellOf(child, row, bytes)] as const,
    );
    return Object.fromEntries(await Promise.all(parts));
  }
  if (kind === "utf8") {
    const offsets = await offsetsIn(column, row, 1, bytes);
    checkOffsets(offsets, regions[1]!.length, "text");
    const [begin, end] = [offsets[0]!, offsets[1]!];
    return Buffer.from(await bytes({ start: regions[1]!.start + begin, length: end - begin })).toString("utf8");
  }
  if (kind === "list") {
    const child = Object.values(children)[0]!;
    const offsets = await offsetsIn(column, row, 1, bytes);
    checkOffsets(offsets, child.num_rows, "list");
    return itemsOf(child, offsets[0]!, offsets[1]!, bytes);
  }
  const cell = await itemsOf(column, row, row + 1, bytes);
  return (cell as readonly Cell[])[0]!;
}

async function itemsOf(column: Column, begin: number, end: number, bytes: ReadRegion): Promise<Cell> {
  const { kind, width, regions } = column;
  const { start } = regions[0] ?? { start: 0 };
  if (kind === "bool") {
    const first = begin >> 3;
    const bits = await bytes({ start: start + first, length: end === begin ? 0 : ((end - 1) >> 3) - first + 1 });
    return Array.from({ length: end - begin }, (_, i) => isSet(bits, begin + i - 8 * first));
  }
  if (width > 0) return numbersIn(column, await bytes({ start: start + width * begin, length: width * (end - begin) }));
  return Promise.all(Array.from({ length: end - begin }, (_, i) => cellOf(column, begin + i, bytes)));
}

/** `bytes` begins a buffer of its own, so it is aligned. */
export function numbersIn({ kind, width }: ColumnType, bytes: Uint8Array): Numbers {
  if (kind === "float" && width === 4) return new Float32Array(bytes.buffer);
  if (kind === "float" && width === 8) return new Float64Array(bytes.buffer);
  if (kind === "int" && width === 4) return new Int32Array(bytes.buffer);
  if (kind === "int" && width === 8) return new BigInt64Array(bytes.buffer);
  throw new Error("it has numbers of a type that a rollout file never has");
}

const isSet = (bits: Uint8Array, index: number): boolean => ((bits[index >> 3]! >> (index & 7)) & 1) === 1;

export function bitsSet(bits: Uint8Array, begin: number, end: number): number {
  let count = 0;
  for (let i = begin; i < end; i++) count += (bits[i >> 3]! >> (i & 7)) & 1;
  return count;
}
