import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RecordBatchFileWriter, tableFromArrays, tableFromIPC } from "apache-arrow";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  withColumns,
  boolColumn,
  listColumn,
  structColumn,
  float32Column,
  utf8Column,
} from "../../../../src/batches/columns.js";
import { promptBatch } from "../../../../src/batches/prompt.js";
import { supervisedTrajectories } from "../../../../src/pipeline/trajectory/supervised.js";
import { openArrowFile as openFile } from "../../../../src/reports/read/arrow-file.js";
import { writeRollouts } from "../../../../src/reports/rollout-files.js";

const texts = [
  { prompt: "p", completion: "wait, ünï – 日本", answer: "14" },
  { prompt: "", completion: "", answer: "" },
  { prompt: "q".repeat(300), completion: "d".repeat(1000), answer: "-3" },
];
const batch = withColumns(
  supervisedTrajectories(
    promptBatch([
      { prompt_id: 7, sample_id: "a", token_ids: Int32Array.of(1, 2), image_ids: ["h1", "h2"] },
      { prompt_id: 2 ** 40, sample_id: "b", token_ids: Int32Array.of(3), image_ids: [] },
      { prompt_id: 9, sample_id: "c", token_ids: Int32Array.of(4, 5, 6, 7, 8, 9, 10), image_ids: ["h3"] },
    ]),
    [[4, 5], [6], Array.from({ length: 40 }, (_, i) => i)],
  ),
  {
    reward_breakdown: structColumn(
      { accuracy: float32Column(Float32Array.of(1, 0, 0.5)), format: float32Column(Float32Array.of(0, 0, 1)) },
      3,
    ),
  },
);

let folder: string;
let path: string;
let bytes: Buffer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sightloop-arrow-"));
  path = await writeRollouts(folder, 1, batch, texts);
  bytes = await readFile(path);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Values as apache-arrow reads the whole file. */
const plain = (value: unknown): unknown => {
  if (typeof value === "bigint") return Number(value);
  if (value === null || typeof value !== "object") return value;
  if (Symbol.iterator in value && !("toJSON" in value && !Array.isArray(value) && "reward_breakdown" in value))
    return "toArray" in value || Array.isArray(value) || ArrayBuffer.isView(value)
      ? Array.from(value as Iterable<unknown>, plain)
      : value;
  return value;
};

const ways = [
  ["piece by piece", 0],
  ["at once", undefined],
] as const;

describe.each(ways)("what is read %s is what apache-arrow reads", (_, whole_bytes) => {
  const openArrowFile = (name: string) => openFile(name, whole_bytes);
  test("every cell of every row", async () => {
    await using file = await openArrowFile(path);
    const table = tableFromIPC(bytes);
    expect(file.num_rows).toBe(3);
    for (let row = 0; row < 3; row++) {
      const cells = await file.row(row);
      expect(Object.keys(cells)).toEqual(table.schema.fields.map(({ name }) => name));
      for (const [name, cell] of Object.entries(cells)) {
        const whole: unknown = table.getChild(name)!.get(row);
        const expected = name === "reward_breakdown" ? { ...(whole as { toJSON(): object }).toJSON() } : plain(whole);
        expect(plain(cell), name).toEqual(expected);
      }
    }
  });

  test("columns: numbers, parts of a struct, texts of all and of some rows, sampled tokens", async () => {
    await using file = await openArrowFile(path);
    expect(Array.from(await file.numbers("prompt_id"), Number)).toEqual([7, 2 ** 40, 9]);
    expect(Array.from(await file.numbers("reward_breakdown.accuracy"), Number)).toEqual([1, 0, 0.5]);
    expect(await file.texts("completion")).toEqual(texts.map(({ completion }) => completion));
    expect(await file.texts("prompt")).toEqual(texts.map(({ prompt }) => prompt));
    expect(await file.texts("completion", [2, 0])).toEqual([texts[2]!.completion, texts[0]!.completion]);
    expect(Array.from(await file.countBits("completion_mask"))).toEqual([2, 1, 40]);
    expect([file.has("reward"), file.has("reward_breakdown.format"), file.has("nothing")]).toEqual([true, true, false]);
    expect(["reward_breakdown", "reward", "nothing"].map((name) => file.parts(name))).toEqual([
      ["accuracy", "format"],
      [],
      [],
    ]);
    expect(Object.keys(await file.row(0, ["answer", "nothing"]))).toEqual(["answer"]);
    await expect(file.row(3)).rejects.toThrow("has no row 3");
    await expect(file.numbers("completion")).rejects.toThrow("not of numbers");
  });

  test("several record batches in one file", async () => {
    const two = join(folder, "two.arrow");
    const more = withColumns(batch, { completion: utf8Column(["x", "y", "z"]) });
    const first = withColumns(batch, { completion: utf8Column(["a", "b", "c"]) });
    await writeFile(two, RecordBatchFileWriter.writeAll([first, more]).toUint8Array(true));
    await using file = await openArrowFile(two);
    expect(file.num_rows).toBe(6);
    expect(await file.texts("completion")).toEqual(["a", "b", "c", "x", "y", "z"]);
    expect(await file.texts("completion", [4, 1, 5])).toEqual(["y", "b", "z"]);
    expect(Array.from(await file.numbers("prompt_id"), Number)).toEqual([7, 2 ** 40, 9, 7, 2 ** 40, 9]);
    expect(await file.row(4, ["completion", "sample_id"])).toEqual({ completion: "y", sample_id: "b" });
  });
});

describe.each(ways)("a damaged file, read %s, is an error that says so, soon", (_, whole_bytes) => {
  const readAll = async (data: Uint8Array): Promise<void> => {
    const damaged = join(folder, "damaged.arrow");
    await writeFile(damaged, data);
    await using file = await openFile(damaged, whole_bytes);
    for (const name of ["prompt_id", "reward"]) if (file.has(name)) await file.numbers(name);
    for (const name of ["completion", "finish_reason"]) if (file.has(name)) await file.texts(name);
    if (file.has("completion_mask")) await file.countBits("completion_mask");
    for (let row = 0; row < Math.min(4, file.num_rows); row++) await file.row(row);
  };

  test("cut off anywhere", async () => {
    for (let length = 0; length < bytes.length; length += 131)
      await expect(readAll(bytes.subarray(0, length)), `${length} bytes`).rejects.toThrow(
        /too short|last bytes|footer|outside/,
      );
  });

  test("other files", async () => {
    await expect(readAll(Buffer.from("hello, this is a text that is longer than 32 bytes"))).rejects.toThrow(
      "last bytes",
    );
    const other = RecordBatchFileWriter.writeAll(tableFromArrays({ day: [new Date()] })).toUint8Array(true);
    await expect(readAll(other)).rejects.toThrow(/dictionaries|type/);
  });

  test("200 files with bytes changed: read or refused, within a second each and without a huge allocation", async () => {
    let state = 1;
    const random = (below: number): number => (state = (state * 48271) % 2147483647) % below;
    const outcomes = { read: 0, refused: 0 };
    for (let i = 0; i < 200; i++) {
      const changed = Buffer.from(bytes);
      for (let n = 0; n <= random(4); n++) changed[random(changed.length)] = random(256);
      const started = performance.now();
      await readAll(changed).then(
        () => outcomes.read++,
        (error: unknown) => {
          expect(error).toBeInstanceOf(Error);
          outcomes.refused++;
        },
      );
      expect(performance.now() - started).toBeLessThan(1000);
    }
    expect(outcomes.read).toBeGreaterThan(10);
    expect(outcomes.refused).toBeGreaterThan(10);
  }, 60_000);
});

test("an empty batch", async () => {
  const empty = join(folder, "empty.arrow");
  const columns = { completion: utf8Column([]), mask: listColumn(new Int32Array(1), boolColumn(new Uint8Array(), 0)) };
  const { recordBatch } = await import("../../../../src/batches/columns.js");
  await writeFile(empty, RecordBatchFileWriter.writeAll([recordBatch(columns, 0)]).toUint8Array(true));
  await using file = await openFile(empty);
  expect([file.num_rows, await file.texts("completion"), [...(await file.countBits("mask"))]]).toEqual([0, [], []]);
});
