import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { ImageSource } from "../../../src/batches/sample.js";
import { filesOfSplit } from "../../../src/datasets/parquet/files.js";
import { openParquet } from "../../../src/datasets/parquet/parquet-file.js";
import { rowGroupCache } from "../../../src/datasets/parquet/row-group-cache.js";
import { datasetSchema, openDataset } from "../../../src/datasets/registry.js";
import { commit, hubServer } from "../../helpers/hub-server.js";

const fixtures = fileURLToPath(new URL("../../fixtures/datasets", import.meta.url));
const geometry3k = { columns: { question: "problem" } };
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sightloop-parquet-"));
});
afterAll(() => rm(folder, { recursive: true }));

const open = (path: string, params: Record<string, unknown> = {}, base_folder = fixtures) =>
  openDataset(datasetSchema.parse({ name: "parquet", path, ...params }), { base_folder });
const sizeOf = async (image: ImageSource | undefined): Promise<string> => {
  const { width, height } = await sharp((image as { bytes: Uint8Array }).bytes).metadata();
  return `${width}x${height}`;
};

describe("the layout of geometry3k on the hub", () => {
  test("two files of several row groups are one dataset, in order, image bytes intact", async () => {
    const dataset = await open("geometry3k", { split: "train", ...geometry3k });
    expect(dataset.length).toBe(8);
    for (const i of [7, 0, 4, 5, 2, 1, 3, 6]) {
      const { id, question, answer, images, solution } = await dataset.get(i);
      const file = i < 5 ? "data/train-00000-of-00002.parquet" : "data/train-00001-of-00002.parquet";
      expect(id).toBe(`${file}:${i < 5 ? i : i - 5}`);
      expect(dataset.place!(i)).toBe(join(fixtures, "geometry3k", id));
      expect(question).toBe(`<image>Find $x_{${i}}$.`);
      expect(answer).toBe(["20", "2 \\sqrt { 221 }", "60^\\circ", "\\frac{1}{2}", "x", "5.5", "112", "8"][i]);
      expect(solution).toBeUndefined();
      expect(images).toMatchObject([{ name: `figure_${i}.png` }]);
      expect(await sizeOf(images[0])).toBe(`${28 + 14 * (i % 3)}x28`);
    }
    await expect(dataset.get(8)).rejects.toThrow(RangeError);
  });

  test("a row of two images; a split in zstd", async () => {
    const [row] = await Promise.all([(await open("geometry3k", { split: "validation", ...geometry3k })).get(0)]);
    expect(await Promise.all(row.images.map(sizeOf))).toEqual(["56x28", "28x28"]);
    expect((await (await open("geometry3k/data", { split: "test", ...geometry3k })).get(1)).answer).toBe("9");
  });

  test("of the hub: only the split's files are downloaded", async () => {
    const names = ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"];
    const entries = names.map(async (name) => {
      const path = `data/${name}.parquet`;
      return [path, await readFile(join(fixtures, "geometry3k", path))] as const;
    });
    const files = { ...Object.fromEntries(await Promise.all(entries)), "README.md": "#" };
    const hub = await hubServer([{ kind: "dataset", id: "org/geometry3k", files }]);
    try {
      const env = { HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: join(folder, "hub") };
      const config = datasetSchema.parse({ name: "parquet", path: "org/geometry3k", split: "train", ...geometry3k });
      const dataset = await openDataset(config, { base_folder: folder, hub: { env } });
      expect(dataset.pinned_path).toBe(`hf:org/geometry3k@${commit}`);
      expect(dataset.length).toBe(8);
      expect((await dataset.get(7)).answer).toBe("8");
      expect(hub.seen.filter(({ server }) => server === "store")).toHaveLength(2);
    } finally {
      await hub.close();
    }
  });
});

describe("columns", () => {
  test("numbers, ids, solutions, rows without image or solution", async () => {
    const dataset = await open("flat.parquet");
    expect(dataset.length).toBe(7);
    expect(await dataset.get(0)).toMatchObject({
      id: "row-0",
      question: "How many? (é 0)",
      answer: "10",
      solution: "It is 10.",
    });
    expect(await dataset.get(1)).not.toHaveProperty("solution");
    expect((await dataset.get(2)).images).toEqual([]);
    expect(await sizeOf((await dataset.get(6)).images[0])).toBe("28x28");
  });

  test("can be left out or named", async () => {
    const dataset = await open("flat.parquet", { columns: { id: null, images: null, solution: null, answer: "id" } });
    expect(await dataset.get(5)).toEqual({
      id: "flat.parquet:5",
      question: "How many? (é 5)",
      answer: "row-5",
      images: [],
    });
  });

  test("image paths beside the file, in gzip; halves", async () => {
    const dataset = await open("paths.parquet");
    const path = join(fixtures, "figure.png");
    expect(await dataset.get(0)).toMatchObject({ answer: "0.5", images: [{ path }] });
    expect(await dataset.get(1)).toMatchObject({ answer: "2", images: [{ path }, { path }] });
  });

  test("LZ4 is read", async () => {
    expect((await (await open("lz4.parquet", { columns: { images: null } })).get(6)).answer).toBe("16");
  });

  test.each([
    ["geometry3k", { split: "train" }, 'no column "question"; it has images, problem, answer'],
    ["flat.parquet", { columns: { images: "figure" } }, 'no column "figure"; it has id, question'],
    ["flat.parquet", { columns: { id: "key" } }, 'no column "key"'],
    ["lz4.parquet", {}, 'no column "images" or "image"'],
    ["flat.parquet", { columns: { answer: "image" } }, '"image" is {'],
    ["flat.parquet", { columns: { images: "unused" } }, '"unused" holds 0; expected an image'],
    ["flat.parquet", { columns: { question: "answer" } }, "expected text"],
  ])("%s %j is an error", async (path, params, message) => {
    const error = await open(path, params)
      .then((dataset) => dataset.get(0))
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "DATASET_INVALID", message: expect.stringContaining(message) as string });
  });
});

describe("row groups", () => {
  afterEach(() => vi.restoreAllMocks());

  test("are read when they are asked for, once, and held up to the limit", async () => {
    const file = await openParquet(fixtures, "flat.parquet");
    const read = vi.spyOn(file, "read");
    const columns = { question: "question", answer: "answer", solution: undefined, id: "id", images: "image" };
    const groups = [0, 1, 2].map((index) => ({ file, columns, index }));
    const bytes = file.bytesOf(0, ["question", "answer", "id", "image"]);
    const reads = () => read.mock.calls.map(([group]) => group);

    const roomy = rowGroupCache(10 * bytes);
    for (const i of [0, 1, 0, 2, 1, 0]) expect(await roomy.get(groups[i]!)).toHaveLength([3, 3, 1][i]!);
    expect(reads()).toEqual([0, 1, 2]);
    expect(read.mock.calls[0]![1]).toEqual(["question", "answer", "id", "image"]); // not "unused"

    read.mockClear();
    const tight = rowGroupCache(0);
    for (const i of [0, 0, 1, 1, 0]) await tight.get(groups[i]!);
    expect(reads()).toEqual([0, 1, 0]);

    read.mockClear();
    const together = rowGroupCache(2 * bytes);
    await Promise.all([0, 1, 0, 1, 1].map((i) => together.get(groups[i]!)));
    expect(reads()).toEqual([0, 1]);
  });

  test("a read that failed is tried again", async () => {
    const file = await openParquet(fixtures, "flat.parquet");
    const columns = { question: "question", answer: "answer", solution: undefined, id: undefined, images: undefined };
    const cache = rowGroupCache(1e6);
    vi.spyOn(file, "read").mockRejectedValueOnce(new Error("once"));
    const group = { file, columns, index: 0 };
    await expect(cache.get(group)).rejects.toThrow("once");
    expect(await cache.get(group)).toHaveLength(3);
  });
});

describe("damaged files are named", () => {
  const damaged = async (change: (bytes: Buffer) => Buffer): Promise<unknown> => {
    const path = join(folder, "damaged.parquet");
    await writeFile(path, change(await readFile(join(fixtures, "flat.parquet"))));
    return open(path)
      .then(async (dataset) => {
        for (let i = 0; i < dataset.length; i++) await dataset.get(i);
      })
      .catch((reason: unknown) => reason);
  };

  test.each([
    ["cut off", (bytes: Buffer) => bytes.subarray(0, 3000)],
    ["without its end", (bytes: Buffer) => bytes.subarray(0, -1)],
    ["empty", () => Buffer.alloc(0)],
    ["of text", () => Buffer.from("question,answer\n".repeat(20))],
    ["with a footer of zeros", (bytes: Buffer) => Buffer.from(bytes).fill(0, bytes.length - 2000, bytes.length - 8)],
  ])("%s", async (_, change) => {
    expect(await damaged(change)).toMatchObject({
      code: "DATASET_INVALID",
      message: expect.stringContaining("damaged.parquet: not a parquet file, cut off, or damaged") as string,
    });
  });

  test("with a spoilt page: the rows are named, when they are read", async () => {
    expect(await damaged((bytes) => Buffer.from(bytes).fill(0xff, 4, 60))).toMatchObject({
      message: expect.stringContaining("damaged.parquet: rows 0 to 2 cannot be read") as string,
    });
  });

  test("wherever a byte is wrong, it is a UserError or a sample", async () => {
    const source = await readFile(join(fixtures, "flat.parquet"));
    for (let at = 5; at < source.length; at += Math.ceil(source.length / 150)) {
      const error = await damaged((bytes) => Buffer.from(bytes).fill(bytes[at]! ^ 0x55, at, at + 1));
      if (error !== undefined) expect(error).toMatchObject({ name: "UserError" });
    }
  });
});

describe("which files", () => {
  const files = ["data/train-0.parquet", "data/test-0.parquet", "dev/0.parquet", "README.md", ".cache/train.parquet"];
  test.each([
    ["", "train", ["data/train-0.parquet"]],
    ["data", "test", ["data/test-0.parquet"]],
    ["", "validation", ["dev/0.parquet"]],
    ["data/test-0.parquet", "train", ["data/test-0.parquet"]],
    ["dev", undefined, ["dev/0.parquet"]],
  ])("%j of split %s", (inside, split, expected) => {
    expect(filesOfSplit(files, { inside, split, where: "x" })).toEqual(expected);
  });

  test("several splits without a word are refused, and a split that is not there", async () => {
    await expect(open("geometry3k", geometry3k)).rejects.toThrow(/several splits \(train, validation, test\)/);
    await expect(open("geometry3k", { split: "tests" })).rejects.toThrow(/no parquet file of split "tests"/);
    await mkdir(join(folder, "none"), { recursive: true });
    await expect(open("none", {}, folder)).rejects.toThrow(/holds no parquet file/);
    await expect(open("nowhere", {}, folder)).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
  });

  test("hidden folders are left out", async () => {
    const place = join(folder, "hidden");
    await cp(join(fixtures, "flat.parquet"), join(place, "flat.parquet"));
    await cp(join(fixtures, "flat.parquet"), join(place, ".cache/flat.parquet"));
    expect((await open(place)).length).toBe(7);
  });
});
