import { type FileHandle, open } from "node:fs/promises";
import { DataType } from "apache-arrow";
import { arrowLayout, type BatchLayout, type Column, type Region, widthOf } from "./arrow-layout.js";

export type Numbers = Int32Array | Float32Array | Float64Array | BigInt64Array;

/** A value of one row: lists of numbers as typed arrays, of bits as booleans, structs as objects. */
export type Cell = number | bigint | boolean | string | Numbers | readonly Cell[] | { readonly [name: string]: Cell };

/**
 * An Arrow IPC file of which only what is asked for is read: a column, or one row. A batch of long completions is many
 * megabytes, of which a list of samples needs a few kilobytes.
 */
export interface ArrowFile extends AsyncDisposable {
  readonly num_rows: number;
  /** Dotted for the parts of a struct: `reward_breakdown.accuracy`. */
  has(name: string): boolean;
  /** All rows of a column of numbers. */
  numbers(name: string): Promise<Numbers>;
  /** All rows of a text column, or the given ones. */
  texts(name: string, rows?: readonly number[]): Promise<readonly string[]>;
  /** For each row, how many bits of a list of bits are set. */
  countBits(name: string): Promise<Int32Array>;
  /** One row of these columns; those that the file lacks are left out. */
  row(index: number, names?: readonly string[]): Promise<Readonly<Record<string, Cell>>>;
}

/** @throws Error saying what is wrong with the file */
export async function openArrowFile(path: string): Promise<ArrowFile> {
  const handle = await open(path, "r");
  try {
    const { size } = await handle.stat();
    const read = (start: number, length: number): Promise<Uint8Array> => readExactly(handle, start, length);
    return arrowFile(handle, await arrowLayout(size, read));
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function arrowFile(handle: FileHandle, batches: readonly BatchLayout[]): ArrowFile {
  const bytes = ({ start, length }: Region): Promise<Uint8Array> => readExactly(handle, start, length);
  const columnsOf = (name: string): readonly Column[] => batches.map((batch) => find(batch, name));

  return {
    num_rows: batches.reduce((sum, { num_rows }) => sum + num_rows, 0),
    has: (name) => batches.every((batch) => lookUp(batch, name) !== undefined),
    numbers: async (name) => {
      const parts: Numbers[] = [];
      for (const column of columnsOf(name)) parts.push(numbersIn(column.type, await bytes(regionOf(column, name))));
      return parts.length === 1 ? parts[0]! : joined(parts);
    },
    texts: async (name, rows) => {
      const parts: (readonly string[])[] = [];
      let start = 0; // of the batch
      for (const column of columnsOf(name)) {
        const here = rows?.filter((row) => row >= start && row < start + column.num_rows).map((row) => row - start);
        parts.push(await textsIn(column, name, here, bytes));
        start += column.num_rows;
      }
      if (rows === undefined || parts.length === 1) return parts.flat();
      const sorted = new Map([...rows].sort((a, b) => a - b).map((row, i) => [row, i]));
      return rows.map((row) => parts.flat()[sorted.get(row)!]!);
    },
    countBits: async (name) => {
      const counts: number[] = [];
      for (const column of columnsOf(name)) {
        const child = Object.values(column.children)[0];
        if (!DataType.isList(column.type) || child === undefined || !DataType.isBool(child.type))
          throw new Error(`column "${name}" is no list of bits`);
        const offsets = await offsetsIn(column, 0, column.num_rows, bytes);
        const bits = await bytes(child.regions[0]!);
        checkOffsets(offsets, 8 * bits.length, name);
        for (let row = 0; row < column.num_rows; row++) counts.push(bitsSet(bits, offsets[row]!, offsets[row + 1]!));
      }
      return Int32Array.from(counts);
    },
    row: async (index, names) => {
      let row = index;
      const batch = batches.find(({ num_rows }) => row < num_rows || ((row -= num_rows), false));
      if (batch === undefined || row < 0) throw new RangeError(`the file has no row ${index}`);
      const wanted = names?.filter((name) => name in batch.columns) ?? Object.keys(batch.columns);
      const cells = wanted.map(async (name) => [name, await cellOf(batch.columns[name]!, row, bytes)] as const);
      return Object.fromEntries(await Promise.all(cells));
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

async function readExactly(handle: FileHandle, start: number, length: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(length);
  if (length === 0) return buffer;
  const { bytesRead } = await handle.read(buffer, 0, length, start);
  if (bytesRead < length) throw new Error("it ends before its contents do");
  return buffer;
}

function lookUp(batch: BatchLayout, name: string): Column | undefined {
  const [first = "", ...parts] = name.split(".");
  return parts.reduce<Column | undefined>((column, part) => column?.children[part], batch.columns[first]);
}

function find(batch: BatchLayout, name: string): Column {
  const column = lookUp(batch, name);
  if (column === undefined) throw new Error(`it has no column "${name}"`);
  return column;
}

function regionOf(column: Column, name: string): Region {
  const width = widthOf(column.type);
  if (width === 0) throw new Error(`column "${name}" is not of numbers`);
  return { start: column.regions[0]!.start, length: width * column.num_rows };
}

/** `bytes` begins a buffer of its own, so it is aligned. */
function numbersIn(type: DataType, bytes: Uint8Array): Numbers {
  if (DataType.isFloat(type) && widthOf(type) === 4) return new Float32Array(bytes.buffer);
  if (DataType.isFloat(type) && widthOf(type) === 8) return new Float64Array(bytes.buffer);
  if (DataType.isInt(type) && widthOf(type) === 4) return new Int32Array(bytes.buffer);
  if (DataType.isInt(type) && widthOf(type) === 8) return new BigInt64Array(bytes.buffer);
  throw new Error(`it has numbers of the type ${String(type)}, which a rollout file never has`);
}

function joined(parts: readonly Numbers[]): Numbers {
  if (parts.length === 0) return new Float64Array(0);
  return Float64Array.from(parts.flatMap((part) => Array.from(part as ArrayLike<number | bigint>, Number)));
}

/** Texts of a whole column are read at once; those of a few rows one by one where the column is long. */
async function textsIn(
  { type, num_rows, regions }: Column,
  name: string,
  rows: readonly number[] = Array.from({ length: num_rows }, (_, row) => row),
  bytes: ReadRegion,
): Promise<readonly string[]> {
  if (!DataType.isUtf8(type)) throw new Error(`column "${name}" is no text`);
  if (rows.length === 0) return [];
  const [at, texts] = regions as [Region, Region];
  const offsets = new Int32Array((await bytes({ start: at.start, length: 4 * (num_rows + 1) })).buffer);
  checkOffsets(offsets, texts.length, name);
  const slice = (row: number): Region => ({ start: offsets[row]!, length: offsets[row + 1]! - offsets[row]! });
  if (rows.length === num_rows || texts.length < 2 ** 18) {
    const data = Buffer.from((await bytes(texts)).buffer);
    return rows.map(slice).map(({ start, length }) => data.toString("utf8", start, start + length));
  }
  const read = rows.map(slice).map(({ start, length }) => bytes({ start: texts.start + start, length }));
  return (await Promise.all(read)).map((part) => Buffer.from(part.buffer).toString("utf8"));
}

/** Offsets of rows `row` to `row + count`, both ends included. */
async function offsetsIn(column: Column, row: number, count: number, bytes: ReadRegion): Promise<Int32Array> {
  if (column.num_rows === 0) return new Int32Array(1);
  const region = { start: column.regions[0]!.start + 4 * row, length: 4 * (count + 1) };
  return new Int32Array((await bytes(region)).buffer);
}

type ReadRegion = (region: Region) => Promise<Uint8Array>;

function checkOffsets(offsets: Int32Array, end: number, name: string): void {
  for (let i = 0; i < offsets.length; i++)
    if (offsets[i]! < (i === 0 ? 0 : offsets[i - 1]!) || offsets[i]! > end)
      throw new Error(`column "${name}" has damaged offsets`);
}

async function cellOf(column: Column, row: number, bytes: ReadRegion): Promise<Cell> {
  const { type, regions, children } = column;
  if (DataType.isStruct(type)) {
    const parts = Object.entries(children).map(async ([name, child]) => [name, await cellOf(child, row, bytes)] as const);
    return Object.fromEntries(await Promise.all(parts));
  }
  if (DataType.isUtf8(type)) {
    const offsets = await offsetsIn(column, row, 1, bytes);
    checkOffsets(offsets, regions[1]!.length, "text");
    const [begin, end] = [offsets[0]!, offsets[1]!];
    return Buffer.from(await bytes({ start: regions[1]!.start + begin, length: end - begin })).toString("utf8");
  }
  if (DataType.isList(type)) {
    const child = Object.values(children)[0]!;
    const offsets = await offsetsIn(column, row, 1, bytes);
    checkOffsets(offsets, child.num_rows, "list");
    return itemsOf(child, offsets[0]!, offsets[1]!, bytes);
  }
  const cell = await itemsOf(column, row, row + 1, bytes);
  return (cell as readonly Cell[])[0]!;
}

async function itemsOf(column: Column, begin: number, end: number, bytes: ReadRegion): Promise<Cell> {
  const { type, regions } = column;
  const { start } = regions[0] ?? { start: 0 };
  if (DataType.isBool(type)) {
    const first = begin >> 3;
    const bits = await bytes({ start: start + first, length: end === begin ? 0 : ((end - 1) >> 3) - first + 1 });
    return Array.from({ length: end - begin }, (_, i) => isSet(bits, begin + i - 8 * first));
  }
  const width = widthOf(type);
  if (width > 0) return numbersIn(type, await bytes({ start: start + width * begin, length: width * (end - begin) }));
  return Promise.all(Array.from({ length: end - begin }, (_, i) => cellOf(column, begin + i, bytes)));
}

const isSet = (bits: Uint8Array, index: number): boolean => ((bits[index >> 3]! >> (index & 7)) & 1) === 1;

function bitsSet(bits: Uint8Array, begin: number, end: number): number {
  let count = 0;
  for (let i = begin; i < end; i++) count += (bits[i >> 3]! >> (i & 7)) & 1;
  return count;
}
