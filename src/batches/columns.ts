import {
  Bool,
  type Data,
  type DataType,
  Field,
  Float32,
  Int32,
  Int64,
  List,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Utf8,
  type Vector,
} from "apache-arrow";

/** Columns over typed arrays, without a copy. Offsets of a list count rows + 1 and start at 0. */

const item = <T extends DataType>(type: T): Field<T> => new Field("item", type, false);

export const int64Column = (values: BigInt64Array): Data<Int64> =>
  makeData({ type: new Int64(), length: values.length, data: values });

export const int32Column = (values: Int32Array): Data<Int32> =>
  makeData({ type: new Int32(), length: values.length, data: values });

export const float32Column = (values: Float32Array): Data<Float32> =>
  makeData({ type: new Float32(), length: values.length, data: values });

export function utf8Column(values: readonly string[]): Data<Utf8> {
  const encoded = values.map((value) => new TextEncoder().encode(value));
  const valueOffsets = new Int32Array(values.length + 1);
  encoded.forEach((bytes, i) => (valueOffsets[i + 1] = valueOffsets[i]! + bytes.length));
  const data = new Uint8Array(valueOffsets[values.length]!);
  encoded.forEach((bytes, i) => data.set(bytes, valueOffsets[i]));
  return makeData({ type: new Utf8(), length: values.length, valueOffsets, data });
}

export const listColumn = <T extends DataType>(valueOffsets: Int32Array, child: Data<T>): Data<List<T>> =>
  makeData({
    type: new List(item(child.type)),
    length: valueOffsets.length - 1,
    nullCount: 0,
    valueOffsets,
    child,
  });

/** `bits` is Arrow's packed form, least significant bit first. */
export const boolColumn = (bits: Uint8Array, length: number): Data<Bool> =>
  makeData({ type: new Bool(), length, nullCount: 0, data: bits });

export function structColumn(children: Readonly<Record<string, Data>>, length: number): Data<Struct> {
  const fields = Object.entries(children).map(([name, data]) => new Field(name, data.type, false));
  return makeData({ type: new Struct(fields), length, nullCount: 0, children: Object.values(children) });
}

export function utf8ListColumn(rows: readonly (readonly string[])[]): Data<List<Utf8>> {
  return listColumn(offsetsOf(rows), utf8Column(rows.flat()));
}

export function offsetsOf(rows: readonly { readonly length: number }[]): Int32Array {
  const offsets = new Int32Array(rows.length + 1);
  rows.forEach((row, i) => (offsets[i + 1] = offsets[i]! + row.length));
  return offsets;
}

export function recordBatch(columns: Readonly<Record<string, Data>>, length: number): RecordBatch {
  const fields = Object.entries(columns).map(([name, data]) => new Field(name, data.type, false));
  return new RecordBatch(
    new Schema(fields),
    makeData({ type: new Struct(fields), length, nullCount: 0, children: Object.values(columns) }),
  );
}

/** A new batch with these columns added (or replaced); the others are shared, not copied. */
export function withColumns(batch: RecordBatch, columns: Readonly<Record<string, Data>>): RecordBatch {
  const kept = batch.schema.fields.map((field, i) => [field.name, batch.data.children[i]!] as const);
  return recordBatch({ ...Object.fromEntries(kept), ...columns }, batch.numRows);
}

/** The column's single chunk. @throws Error if the batch lacks it: a bug, not a user's mistake. */
export function columnData(batch: RecordBatch, name: string): Data {
  const index = batch.schema.fields.findIndex((field) => field.name === name);
  const data = index < 0 ? undefined : batch.data.children[index];
  if (data === undefined) throw new Error(`batch has no column "${name}"`);
  return data;
}

/** Typed array of a flat column, trimmed to its rows; a view, not a copy. */
export function flatValues<T extends Int32Array | Float32Array | BigInt64Array>(batch: RecordBatch, name: string): T {
  const data = columnData(batch, name);
  return (data.values as T).subarray(0, data.length) as T;
}

/** Offsets and flat values of a list column; views, not copies. Rows are values[offsets[i] .. offsets[i + 1]). */
export function listValues<T extends Int32Array | Float32Array | Uint8Array>(
  batch: RecordBatch,
  name: string,
): { readonly offsets: Int32Array; readonly values: T } {
  const data = columnData(batch, name);
  const offsets = (data.valueOffsets as Int32Array).subarray(0, data.length + 1);
  return { offsets, values: data.children[0]!.values as T };
}

export function strings(batch: RecordBatch, name: string): readonly string[] {
  return [...(batch.getChild(name) as Vector<Utf8>)].map(String);
}

export function stringLists(batch: RecordBatch, name: string): readonly (readonly string[])[] {
  return [...(batch.getChild(name) as Vector<List<Utf8>>)].map((row) => [...(row ?? [])].map(String));
}
