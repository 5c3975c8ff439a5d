import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import {
  bitsSet,
  type Cell,
  cellOf,
  checkOffsets,
  type Numbers,
  numbersIn,
  offsetsIn,
  textsIn,
} from "./arrow-cells.js";
import { arrowLayout, type BatchLayout, type Column, type ReadBytes } from "./arrow-layout.js";
import type { Region } from "./arrow-metadata.js";

/**
 * An Arrow IPC file of which only what is asked for is read: a column, or one row. A batch of long completions is many
 * megabytes, of which a list of samples needs a few kilobytes.
 */
export interface ArrowFile extends AsyncDisposable {
  readonly num_rows: number;
  /** Dotted for the parts of a struct: `reward_breakdown.accuracy`. */
  has(name: string): boolean;
  /** Names of the parts of a struct; none if there is no such column. */
  parts(name: string): readonly string[];
  /** All rows of a column of numbers. */
  numbers(name: string): Promise<Numbers>;
  /** All rows of a text column, or the given ones. */
  texts(name: string, rows?: readonly number[]): Promise<readonly string[]>;
  /** For each row, how many bits of a list of bits are set. */
  countBits(name: string): Promise<Int32Array>;
  /** One row of these columns; those that the file lacks are left out. */
  row(index: number, names?: readonly string[]): Promise<Readonly<Record<string, Cell>>>;
}

/**
 * Files of at most `whole_bytes` are read at once and without going through another thread: both took longer than all else.
 * @throws Error saying what is wrong with the file
 */
export async function openArrowFile(path: string, whole_bytes = 2 ** 20): Promise<ArrowFile> {
  const whole = readWhole(path, whole_bytes);
  const source = whole === undefined ? await onDisk(path) : inMemory(whole);
  try {
    return arrowFile(await arrowLayout(source.size, source.read), source);
  } catch (error) {
    await source.close();
    // Of flatbuffers, about offsets that lead nowhere.
    const is_theirs = error instanceof TypeError || error instanceof RangeError;
    throw is_theirs ? new Error("its metadata is damaged", { cause: error }) : error;
  }
}

/** The bytes of a file. */
interface Source {
  readonly size: number;
  readonly read: ReadBytes;
  readonly close: () => Promise<void>;
}

/** Undefined where it is larger than `most_bytes`. */
function readWhole(path: string, most_bytes: number): Uint8Array | undefined {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    if (size > most_bytes) return undefined;
    const bytes = new Uint8Array(size);
    if (readSync(file, bytes, 0, size, 0) < size) throw new Error(too_short);
    return bytes;
  } finally {
    closeSync(file);
  }
}

const inMemory = (whole: Uint8Array): Source => ({
  size: whole.length,
  read: async (start, length) => {
    if (length < 0 || start + length > whole.length) throw new Error(too_short);
    return whole.slice(start, start + length);
  },
  close: async () => {},
});

async function onDisk(path: string): Promise<Source> {
  const handle = await open(path, "r");
  const { size } = await handle.stat();
  return { size, read: (start, length) => readExactly(handle, start, length), close: () => handle.close() };
}

const too_short = "it ends before its contents do";

function arrowFile(batches: readonly BatchLayout[], { read, close }: Source): ArrowFile {
  const bytes = ({ start, length }: Region): Promise<Uint8Array> => read(start, length);
  const columnsOf = (name: string): readonly Column[] => batches.map((batch) => find(batch, name));

  return {
    num_rows: batches.reduce((sum, { num_rows }) => sum + num_rows, 0),
    has: (name) => batches.every((batch) => lookUp(batch, name) !== undefined),
    parts: (name) => Object.keys((batches[0] && lookUp(batches[0], name))?.children ?? {}),
    numbers: async (name) => {
      const parts: Numbers[] = [];
      for (const column of columnsOf(name)) parts.push(numbersIn(column, await bytes(regionOf(column, name))));
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
      if (parts.length === 1) return parts[0]!;
      if (rows === undefined) return parts.flat();
      const sorted = new Map([...rows].sort((a, b) => a - b).map((row, i) => [row, i]));
      return rows.map((row) => parts.flat()[sorted.get(row)!]!);
    },
    countBits: async (name) => {
      const counts: number[] = [];
      for (const column of columnsOf(name)) {
        const child = Object.values(column.children)[0];
        if (column.kind !== "list" || child?.kind !== "bool") throw new Error(`column "${name}" is no list of bits`);
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
    [Symbol.asyncDispose]: close,
  };
}

async function readExactly(handle: FileHandle, start: number, length: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(length);
  if (length === 0) return buffer;
  const { bytesRead } = await handle.read(buffer, 0, length, start);
  if (bytesRead < length) throw new Error(too_short);
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

function regionOf({ width, num_rows, regions }: Column, name: string): Region {
  if (width === 0) throw new Error(`column "${name}" is not of numbers`);
  return { start: regions[0]!.start, length: width * num_rows };
}

function joined(parts: readonly Numbers[]): Numbers {
  if (parts.length === 0) return new Float64Array(0);
  return Float64Array.from(parts.flatMap((part) => Array.from(part as ArrayLike<number | bigint>, Number)));
}
