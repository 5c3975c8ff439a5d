import { createHash } from "node:crypto";
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sample } from "../../../src/batches/sample.js";
import {
  drawGrid,
  type Grid,
  paint,
  questionOf,
  solutionOf,
  totalOf,
} from "../../../src/datasets/fashion-grid/grid.js";
import {
  class_names,
  loadPhotos,
  type Photos,
  photos_folder,
  type Pool,
  pools,
} from "../../../src/datasets/fashion-grid/photos.js";
import { drawsOf } from "../../../src/datasets/random.js";
import { datasetSchema, openDataset } from "../../../src/datasets/registry.js";

const all_pools = Object.keys(pools) as Pool[];
const photos = {} as Record<Pool, Photos>;
beforeAll(async () => {
  for (const pool of all_pools) photos[pool] = await loadPhotos(pool);
});

const open = (params: Record<string, unknown> = {}) =>
  openDataset(datasetSchema.parse({ name: "fashion_grid", count: 10_000, ...params }), { base_folder: "." });
const bytesOf = (sample: Sample): Uint8Array => (sample.images[0] as { bytes: Uint8Array }).bytes;

describe("photos", () => {
  test("number what the README says", () => {
    const counts = all_pools.map((pool) => class_names.map((name) => photos[pool][name].length / 784));
    const each = (count: number) => class_names.map(() => count);
    expect(counts).toEqual([each(40), each(5760), each(200), [334, 334, 333, 333, 333, 333]]);
  });

  test("no photo is in two pools, nor two equal ones", () => {
    const found = new Map<string, Pool>();
    const shared: string[] = [];
    for (const pool of all_pools)
      for (const name of class_names)
        for (let at = 0; at < photos[pool][name].length; at += 784) {
          const hash = createHash("sha1")
            .update(photos[pool][name].subarray(at, at + 784))
            .digest("base64");
          if ((found.get(hash) ?? pool) !== pool) shared.push(`${pool} ${name} ${at / 784}`);
          found.set(hash, pool);
        }
    expect(shared).toEqual([]);
    expect(found.size).toBe(38_000);
  });

  test("are photographs: the mean photo of each class differs from the others", () => {
    const means = class_names.map(
      (name) => photos.test[name].reduce((sum, value) => sum + value, 0) / photos.test[name].length,
    );
    for (const mean of means) expect(mean).toBeGreaterThan(30);
    expect(new Set(means.map(Math.round)).size).toBeGreaterThan(3);
  });
});

describe("damage is noticed", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "sightloop-photos-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const damage: [string, string, (file: string) => Promise<unknown>][] = [
    ["missing", "test-bag.png", (file) => rm(file)],
    ["truncated", "test-bag.png", (file) => truncate(file, 60_000)],
    ["empty", "test-bag.png", (file) => truncate(file, 0)],
    ["other pixels", "test-bag.png", (file) => cp(join(photos_folder, "test-boot.png"), file)],
    [
      "another image",
      "test-bag.png",
      (file) =>
        sharp({ create: { width: 56, height: 56, channels: 3, background: "red" } })
          .png()
          .toFile(file),
    ],
    ["no index", "photos.json", (file) => rm(file)],
    ["a broken index", "photos.json", (file) => writeFile(file, "{")],
    [
      "an index without the class",
      "photos.json",
      async (file) => writeFile(file, (await readFile(file, "utf8")).replaceAll('"test"', '"train"')),
    ],
  ];
  test.each(damage)("%s", async (name, file, act) => {
    const copy = join(folder, name.replaceAll(" ", "-"));
    await cp(photos_folder, copy, { recursive: true, filter: (path) => !path.includes("train-") });
    await act(join(copy, file));
    await expect(loadPhotos("test", copy)).rejects.toMatchObject({
      code: "DATASET_INVALID",
      message: expect.stringContaining(join(copy, file)) as string,
      hint: expect.stringContaining("git checkout") as string,
    });
  });
});

/** What a worked solution claims, by parsing it. */
function parseWorked(solution: string): { cells: string[]; prices: number[]; sums: number[]; total: number } {
  const match = /^<think>((?: [a-z]+ \d+ \d+)+)<\/think> (\d+)$/.exec(solution);
  const words = match?.[1]?.trim().split(" ") ?? [];
  const every = (offset: number) => words.filter((_, i) => i % 3 === offset);
  return { cells: every(0), prices: every(1).map(Number), sums: every(2).map(Number), total: Number(match?.[2]) };
}

function parseQuestion(question: string): Record<string, number> {
  expect(question).toMatch(/^prices:( [a-z]+ [1-5]){6} total\?$/);
  const found = [...question.matchAll(/([a-z]+) (\d)/g)].map(([, name, price]) => [name, Number(price)] as const);
  return Object.fromEntries(found) as Record<string, number>;
}

describe("grids", () => {
  const num_grids = 5000;
  let grids: Grid[];
  beforeAll(() => {
    grids = Array.from({ length: num_grids }, (_, i) => drawGrid(drawsOf(`test/${i}`), 2, photos.rl));
  });

  test("question, answer and both solutions agree", () => {
    for (const grid of grids) {
      const prices = parseQuestion(questionOf(grid));
      expect(Object.keys(prices)).toEqual([...class_names]);
      const worked = parseWorked(solutionOf(grid, "worked"));
      expect(worked.cells).toEqual(grid.cells.map(({ name }) => name));
      expect(worked.prices).toEqual(worked.cells.map((name) => prices[name]));
      let sum = 0;
      expect(worked.sums).toEqual(worked.prices.map((price) => (sum += price)));
      expect(worked.total).toBe(sum);
      expect(totalOf(grid)).toBe(sum);
      expect(solutionOf(grid, "direct")).toBe(`</think> ${sum}`);
    }
  });

  /** Every count within five standard deviations of a fair draw. */
  const expectFair = (values: readonly (string | number)[], num_kinds: number): void => {
    const counts = new Map<string | number, number>();
    for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
    expect(counts.size).toBe(num_kinds);
    const mean = values.length / num_kinds;
    for (const count of counts.values()) expect(Math.abs(count - mean)).toBeLessThan(5 * Math.sqrt(mean));
  };

  test("classes are balanced in every cell; so are prices and photos", () => {
    for (const cell of [0, 1, 2, 3])
      expectFair(
        grids.map(({ cells }) => cells[cell]!.name),
        6,
      );
    for (const name of class_names)
      expectFair(
        grids.map(({ prices }) => prices[name]),
        5,
      );
    expectFair(
      grids.flatMap(({ cells }) => cells.map(({ photo }) => Math.floor(photo / 576))),
      10,
    );
  });

  test("no total is a good guess", () => {
    const counts = new Map<number, number>();
    for (const grid of grids) counts.set(totalOf(grid), (counts.get(totalOf(grid)) ?? 0) + 1);
    expect(Math.max(...counts.values()) / num_grids).toBeLessThan(0.15);
  });

  test.each([1, 2, 3])("a side of %i cells shows the photos they name, in reading order", (side) => {
    const grid = drawGrid(drawsOf("paint"), side, photos.test);
    const rgb = paint(grid, side, photos.test);
    const width = 28 * side;
    expect(rgb.length).toBe(width * width * 3);
    grid.cells.forEach(({ name, photo }, cell) => {
      const [row, column] = [Math.floor(cell / side) * 28, (cell % side) * 28];
      const shown = Array.from({ length: 784 }, (_, i) => {
        const at = 3 * ((row + Math.floor(i / 28)) * width + column + (i % 28));
        expect(rgb[at + 1]).toBe(rgb[at]);
        expect(rgb[at + 2]).toBe(rgb[at]);
        return rgb[at];
      });
      expect(shown).toEqual([...photos.test[name].subarray(photo * 784, (photo + 1) * 784)]);
    });
  });
});

describe("fashion_grid", () => {
  test("gives the same sample for the same index, in any order and after opening again", async () => {
    const [a, b] = [await open({ seed: 3 }), await open({ seed: 3, count: 20 })];
    for (const i of [7, 0, 19]) expect(await b.get(i)).toEqual(await a.get(i));
    expect(await a.get(7)).toMatchObject({
      id: "fashion_grid-rl-3-7",
      question: "prices: top 5 trouser 4 pullover 1 dress 1 bag 3 boot 4 total?",
      answer: "10",
      solution: "<think> pullover 1 1 pullover 1 2 top 5 7 bag 3 10</think> 10",
    });
    const pixels = await sharp(bytesOf(await a.get(7)))
      .raw()
      .toBuffer();
    expect(createHash("sha256").update(pixels).digest("hex")).toBe(
      "7e3e357a2e21c687d05a4a78ab8df145cdc9354eee87bc0d101410f4af91e98c",
    );
  });

  test.each([[{ seed: 4 }], [{ pool: "labelled" }], [{ split: "validation" }], [{ split: "test" }]])(
    "gives other samples for %j",
    async (params) => {
      const [a, b] = [await open({ seed: 3 }), await open({ seed: 3, ...params })];
      const questions = async (dataset: typeof a) =>
        Promise.all(Array.from({ length: 10 }, async (_, i) => (await dataset.get(i)).question));
      expect(await questions(a)).not.toEqual(await questions(b));
    },
  );

  test("encodes the grid as a PNG that decodes to the same pixels", async () => {
    const dataset = await open({ split: "test" });
    const grid = drawGrid(drawsOf("fashion_grid/test/2/0/5"), 2, photos.test);
    const { data, info } = await sharp(bytesOf(await dataset.get(5)))
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect([info.width, info.height, info.channels]).toEqual([56, 56, 3]);
    expect(data.equals(paint(grid, 2, photos.test))).toBe(true);
  });

  test("answers what its solutions say; 60 % of them are direct", async () => {
    const dataset = await open({ pool: "labelled", count: 2000 });
    let num_direct = 0;
    const ids = new Set<string>();
    for (let i = 0; i < dataset.length; i++) {
      const { id, answer, solution = "" } = await dataset.get(i);
      ids.add(id);
      if (solution.startsWith("</think>")) num_direct += 1;
      expect(solution.endsWith(`</think> ${answer}`)).toBe(true);
    }
    expect(ids.size).toBe(2000);
    expect(Math.abs(num_direct / 2000 - 0.6)).toBeLessThan(0.055);
  });

  test.each([
    [0, /^<think>/],
    [1, /^<\/think>/],
  ])("direct_share %f gives one style", async (direct_share, style) => {
    const dataset = await open({ direct_share });
    for (let i = 0; i < 50; i++) expect((await dataset.get(i)).solution).toMatch(style);
  });

  test("refuses an index it does not have, a pool of another split and unknown keys", async () => {
    const dataset = await open({ count: 3 });
    await expect(dataset.get(3)).rejects.toThrow(RangeError);
    await expect(dataset.get(-1)).rejects.toThrow(RangeError);
    await expect(open({ split: "test", pool: "rl" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    expect(datasetSchema.safeParse({ name: "fashion_grid", count: 3, size: 2 }).success).toBe(false);
  });
});

/** Of 50 samples: texts and pixels, as they were before variants and distributions came. */
test.each([
  [{ pool: "rl", count: 7680 }, "aaab09a63ac9e012"],
  [{ pool: "labelled", count: 33_280, direct_share: 0.6 }, "e5ef02f37f588878"],
  [{ split: "validation", count: 500 }, "6d3ad784395ef240"],
  [{ split: "test", grid: 3, seed: 5, count: 500 }, "843d13a39dd16e95"],
])("what %j draws has not changed", async (params, expected) => {
  const dataset = await open(params);
  const hash = createHash("sha256");
  for (let i = 0; i < 50; i++) {
    const { images, ...texts } = await dataset.get(i);
    hash.update(JSON.stringify(texts));
    hash.update(
      await sharp((images[0] as { bytes: Uint8Array }).bytes)
        .raw()
        .toBuffer(),
    );
  }
  expect(hash.digest("hex").slice(0, 16)).toBe(expected);
});

describe("variants and distributions", () => {
  const goods = (question: string): readonly string[] => / goods: (.*) total\?$/.exec(question)![1]!.split(" ");

  test.each([[2], [3]])("text_dominant names all goods but one of the same %i x %i grid", async (grid) => {
    const params = { grid, split: "test", direct_share: 0, count: 60 };
    const [seen, told] = [await open(params), await open({ ...params, variant: "text_dominant" })];
    const hidden = new Set<number>();
    for (let i = 0; i < 60; i++) {
      const [a, b] = [await seen.get(i), await told.get(i)];
      expect([b.answer, b.solution, bytesOf(b)]).toEqual([a.answer, a.solution, bytesOf(a)]);
      expect(b.id).toBe(`fashion_grid-test-text-0-${i}`);
      const names = [...a.solution!.matchAll(/ ([a-z]+) \d+ \d+/g)].map((match) => match[1]);
      const list = goods(b.question);
      hidden.add(list.indexOf("?"));
      expect(list).toHaveLength(grid ** 2);
      expect(list.filter((name, cell) => name !== "?" && name !== names[cell])).toEqual([]);
      expect(list.filter((name) => name === "?")).toHaveLength(1);
    }
    expect(hidden.size).toBe(grid ** 2);
  });

  const drawn = async (distribution: string, grid = 2) => {
    const dataset = await open({
      distribution,
      grid,
      split: "test",
      variant: "text_dominant",
      direct_share: 0,
      count: 200,
    });
    const samples = await Promise.all(Array.from({ length: 200 }, (_, i) => dataset.get(i)));
    return samples.map((sample) => ({
      names: [...sample.solution!.matchAll(/ ([a-z]+) \d+ \d+/g)].map((match) => match[1]),
      prices: [...sample.question.split(" goods:")[0]!.matchAll(/ (\d+)/g)].map((match) => Number(match[1])),
    }));
  };
  const has_pair = ({ names }: { readonly names: readonly (string | undefined)[] }): boolean =>
    names.includes("bag") && names.includes("boot");

  test.each([[2], [3]])("bag and boot never meet inside, and always in out_pairs (%i x %i)", async (grid) => {
    const inside = await drawn("in", grid);
    expect(inside.filter(has_pair)).toEqual([]);
    expect(new Set(inside.flatMap(({ names }) => names)).size).toBe(6);
    const outside = await drawn("out_pairs", grid);
    expect(outside.filter((row) => !has_pair(row))).toEqual([]);
    expect(new Set(outside.map(({ names }) => names.indexOf("bag"))).size).toBe(grid === 2 ? 4 : 9);
  });

  test("prices are 1 to 5 inside, 6 to 9 in out_prices", async () => {
    const values = (rows: Awaited<ReturnType<typeof drawn>>) =>
      [...new Set(rows.flatMap(({ prices }) => prices))].sort();
    expect(values(await drawn("in"))).toEqual([1, 2, 3, 4, 5]);
    expect(values(await drawn("out_prices"))).toEqual([6, 7, 8, 9]);
  });

  test("out_inverted shows negatives", () => {
    const grid = drawGrid(drawsOf("x"), 2, photos.test, "out_inverted");
    const [plain, negative] = [paint(grid, 2, photos.test), paint(grid, 2, photos.test, true)];
    expect(plain.every((value, i) => value + negative[i]! === 255)).toBe(true);
  });

  test("a single cell has no pair", async () => {
    await expect(open({ grid: 1, distribution: "out_pairs" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });
});
