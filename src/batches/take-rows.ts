import { type Data, DataType, type RecordBatch } from "apache-arrow";
import {
  boolColumn,
  columnData,
  flatValues,
  float32Column,
  int32Column,
  int64Column,
  listColumn,
  listValues,
  recordBatch,
  stringLists,
  strings,
  utf8Column,
  utf8ListColumn,
} from "./columns.js";

/** A row of one of several batches. */
export interface Pick {
  readonly batch: number;
  readonly row: number;
}

/** A new batch of chosen rows, in the order given, from batches with the same columns. */
export function takeRows<B extends RecordBatch>(batches: readonly B[], picks: readonly Pick[]): B {
  const names = batches[0]!.schema.fields.map(({ name }) => name);
  const columns = names.map((name) => [name, takeColumn(batches, name, picks)] as const);
  return recordBatch(Object.fromEntries(columns), picks.length) as B;
}

function takeColumn(batches: readonly RecordBatch[], name: string, picks: readonly Pick[]): Data {
  const { type } = columnData(batches[0]!, name);
  const taken = <T>(of: (batch: RecordBatch) => ArrayLike<T>): T[] => {
    const values = batches.map(of);
    return picks.map(({ batch, row }) => values[batch]![row]!);
  };
  if (DataType.isUtf8(type)) return utf8Column(taken((batch) => strings(batch, name)));
  if (DataType.isInt(type) && type.bitWidth === 64)
    return int64Column(BigInt64Array.from(taken((batch) => flatValues<BigInt64Array>(batch, name))));
  if (DataType.isInt(type)) return int32Column(Int32Array.from(taken((batch) => flatValues<Int32Array>(batch, name))));
  if (DataType.isFloat(type))
    return float32Column(Float32Array.from(taken((batch) => flatValues<Float32Array>(batch, name))));
  if (DataType.isList(type)) {
    const item = type.children[0]!.type as DataType;
    if (DataType.isUtf8(item)) return utf8ListColumn(taken((batch) => stringLists(batch, name)));
    return takeLists(batches, name, picks, item);
  }
  throw new Error(`column "${name}" is of a type that takeRows does not know`);
}

function takeLists(batches: readonly RecordBatch[], name: string, picks: readonly Pick[], item: DataType): Data {
  const lists = batches.map((batch) => listValues<Int32Array | Float32Array | Uint8Array>(batch, name));
  const offsets = new Int32Array(picks.length + 1);
  picks.forEach(({ batch, row }, i) => {
    const of = lists[batch]!.offsets;
    offsets[i + 1] = offsets[i]! + of[row + 1]! - of[row]!;
  });
  const total = offsets[picks.length]!;
  if (DataType.isBool(item)) {
    const bits = new Uint8Array(Math.ceil(total / 8));
    picks.forEach(({ batch, row }, i) => {
      const { offsets: from, values } = lists[batch]!;
      const shift = columnData(batches[batch]!, name).children[0]!.offset;
      for (let at = offsets[i]!, j = from[row]! + shift; at < offsets[i + 1]!; at++, j++)
        if ((values[j >> 3]! >> (j & 7)) & 1) bits[at >> 3]! |= 1 << (at & 7);
    });
    return listColumn(offsets, boolColumn(bits, total));
  }
  const copied = DataType.isFloat(item) ? new Float32Array(total) : new Int32Array(total);
  picks.forEach(({ batch, row }, i) => {
    const { offsets: from, values } = lists[batch]!;
    copied.set(values.subarray(from[row], from[row + 1]), offsets[i]);
  });
  return listColumn<DataType>(offsets, copied instanceof Float32Array ? float32Column(copied) : int32Column(copied));
}
