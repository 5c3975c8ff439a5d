import { type Data, makeData, type RecordBatch, Type } from "apache-arrow";
import { boolColumn, columnData, listColumn, recordBatch } from "./columns.js";

/** A new batch of these rows, in this order. */
export function selectRows<T extends RecordBatch>(batch: T, rows: readonly number[]): T {
  const columns = batch.schema.fields.map(({ name }) => [name, gather(columnData(batch, name), rows)] as const);
  return recordBatch(Object.fromEntries(columns), rows.length) as T;
}

function gather(data: Data, rows: ArrayLike<number>): Data {
  const { children } = data;
  const type = data.type;
  const valueOffsets = data.valueOffsets as Int32Array | undefined;
  if (children.length > 0) {
    const { offsets, indices } = ranges(valueOffsets!, rows);
    return listColumn(offsets, gather(children[0]!, indices));
  }
  if (valueOffsets !== undefined) {
    const { offsets, indices } = ranges(valueOffsets, rows);
    const bytes = Uint8Array.from(indices, (i) => (data.values as Uint8Array)[i]!);
    return makeData({ type, length: rows.length, nullCount: 0, valueOffsets: offsets, data: bytes } as never);
  }
  if (type.typeId === Type.Bool) {
    const bits = new Uint8Array(Math.ceil(rows.length / 8));
    const values = data.values as Uint8Array;
    for (let i = 0; i < rows.length; i++) {
      const at = data.offset + rows[i]!;
      bits[i >> 3]! |= ((values[at >> 3]! >> (at & 7)) & 1) << (i & 7);
    }
    return boolColumn(bits, rows.length);
  }
  const values = data.values as Int32Array | Float32Array | BigInt64Array;
  const kept = new (values.constructor as new (length: number) => typeof values)(rows.length);
  for (let i = 0; i < rows.length; i++) kept[i] = values[rows[i]!]!;
  return makeData({ type, length: rows.length, nullCount: 0, data: kept } as never);
}

/** Of a column of lists: the rows' offsets, and the indices of their items. */
function ranges(from: Int32Array, rows: ArrayLike<number>): { offsets: Int32Array; indices: Int32Array } {
  const offsets = new Int32Array(rows.length + 1);
  for (let i = 0; i < rows.length; i++) offsets[i + 1] = offsets[i]! + from[rows[i]! + 1]! - from[rows[i]!]!;
  const indices = new Int32Array(offsets[rows.length]!);
  for (let i = 0; i < rows.length; i++)
    for (let k = offsets[i]!; k < offsets[i + 1]!; k++) indices[k] = from[rows[i]!]! + k - offsets[i]!;
  return { offsets, indices };
}
