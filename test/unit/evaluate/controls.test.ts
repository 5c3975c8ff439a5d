import { expect, test } from "vitest";
import sharp from "sharp";
import type { Sample } from "../../../src/batches/sample.js";
import { derangement, variants } from "../../../src/evaluate/controls.js";

const picture = async (width: number) =>
  sharp({ create: { width, height: 20, channels: 3, background: "red" } })
    .png()
    .toBuffer();
const row = (id: string, ...bytes: Uint8Array[]): Sample => ({
  ...{ id, question: "?", answer: "1" },
  images: bytes.map((one) => ({ bytes: one })),
});

test("a derangement is keyed by the seed and leaves no item its own", () => {
  const items = [3, 5, 8, 9, 12, 20, 21, 22];
  const donors = derangement(items, 7);
  expect([...donors.values()].sort((a, b) => a - b)).toEqual(items);
  for (const [item, donor] of donors) expect(donor).not.toBe(item);
  expect(derangement(items, 7)).toEqual(donors);
  expect([...derangement(items, 8).entries()].sort()).not.toEqual([...donors.entries()].sort());
});

test("controls keep the number of images; blank keeps their sizes; items without images are left out", async () => {
  const rows = [row("a", await picture(30), await picture(40)), row("text"), row("b", await picture(50))];
  const samples = { length: rows.length, get: (index: number) => rows[index]! };
  const [own, blank, shuffled] = await variants(samples, 3, ["blank", "shuffled"], 0);
  expect([own!.items, blank!.items, shuffled!.items]).toEqual([
    [0, 1, 2],
    [0, 2],
    [0, 2],
  ]);
  const sizes = [];
  for (const image of (await blank!.get(0)).images) {
    const { width, height } = await sharp("bytes" in image ? image.bytes : image.path).metadata();
    const { dominant } = await sharp("bytes" in image ? image.bytes : image.path).stats();
    sizes.push([width, height, dominant.r === dominant.g]);
  }
  expect(sizes).toEqual([
    [30, 20, true],
    [40, 20, true],
  ]);
  expect((await shuffled!.get(0)).images).toEqual([rows[2]!.images[0], rows[2]!.images[0]]);
  expect((await shuffled!.get(2)).images).toEqual([rows[0]!.images[0]]);
});

test.each([
  ["no images at all", [row("a"), row("b")], /no item has an image/],
  ["one item to shuffle", [row("a", new Uint8Array(1)), row("b")], /needs two items/],
])("%s", async (_, rows, message) => {
  const samples = { length: rows.length, get: (index: number) => rows[index]! };
  await expect(variants(samples, 2, ["shuffled"], 0)).rejects.toThrow(message);
});
