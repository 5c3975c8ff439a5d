import { expect, test } from "vitest";
import {
  boolColumn,
  float32Column,
  int32Column,
  int64Column,
  listColumn,
  listValues,
  recordBatch,
  structColumn,
  utf8Column,
  utf8ListColumn,
} from "../../../src/batches/columns.js";
import { takeRows } from "../../../src/batches/take-rows.js";

/** Rows of 1, 2, 3, ... tokens whose values name the row; every mask bit is that of the value's parity. */
function batch(first: number, rows: number) {
  const lengths = Array.from({ length: rows }, (_, i) => first + i);
  const offsets = Int32Array.from([0, ...lengths].map((_, i) => lengths.slice(0, i).reduce((sum, n) => sum + n, 0)));
  const values = lengths.flatMap((length) => Array.from({ length }, (_, i) => 10 * length + i));
  const bits = new Uint8Array(Math.ceil(values.length / 8));
  values.forEach((value, i) => (bits[i >> 3]! |= (value % 2) << (i & 7)));
  return recordBatch(
    {
      id: int64Column(BigInt64Array.from(lengths, BigInt)),
      index: int32Column(Int32Array.from(lengths)),
      score: float32Column(Float32Array.from(lengths, (length) => length / 2)),
      name: utf8Column(lengths.map((length) => `é${length}`)),
      images: utf8ListColumn(lengths.map((length) => (length % 2 === 0 ? [] : [`i${length}`, "x"]))),
      tokens: listColumn(offsets, int32Column(Int32Array.from(values))),
      logprobs: listColumn(offsets, float32Column(Float32Array.from(values, (value) => -value / 4))),
      mask: listColumn(offsets, boolColumn(bits, values.length)),
    },
    rows,
  );
}
const read = (of: ReturnType<typeof batch>) =>
  of.toArray().map((row: Record<string, unknown>) =>
    Object.fromEntries(
      of.schema.fields.map(({ name }) => {
        const value = row[name];
        return [name, typeof value === "object" && value !== null ? [...(value as Iterable<unknown>)] : value];
      }),
    ),
  );

test("takes rows of any column, in any order, more than once, from several batches", () => {
  const [a, b] = [batch(1, 5), batch(6, 4)];
  const picks = [
    [1, 3],
    [0, 4],
    [0, 0],
    [1, 0],
    [0, 4],
  ].map(([of, row]) => ({ batch: of!, row: row! }));
  const taken = takeRows([a, b], picks);
  const rows = [read(a), read(b)];
  expect(read(taken)).toEqual(picks.map(({ batch: of, row }) => rows[of]![row]));
  expect(taken.schema.fields.map(String)).toEqual(a.schema.fields.map(String));
  expect(listValues(taken, "tokens").offsets[0]).toBe(0); // the engine reads whole arrays
});

test("takes none", () => {
  expect(takeRows([batch(1, 2)], []).numRows).toBe(0);
});

test("refuses a column type that it would not copy", () => {
  const odd = recordBatch({ parts: structColumn({ a: float32Column(Float32Array.of(1)) }, 1) }, 1);
  expect(() => takeRows([odd], [{ batch: 0, row: 0 }])).toThrow("parts");
});
