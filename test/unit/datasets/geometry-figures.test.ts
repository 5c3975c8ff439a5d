import { createHash } from "node:crypto";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import type { Sample } from "../../../src/batches/sample.js";
import { kind_names, splitOf } from "../../../src/datasets/geometry-figures.js";
import { svgOf } from "../../../src/datasets/geometry-figures/figure.js";
import { textPath } from "../../../src/datasets/geometry-figures/glyphs.js";
import { triangleAngles } from "../../../src/datasets/geometry-figures/triangles.js";
import { drawsOf } from "../../../src/datasets/random.js";
import { datasetSchema, openDataset } from "../../../src/datasets/registry.js";

const open = (params: Record<string, unknown> = {}) =>
  openDataset(datasetSchema.parse({ name: "geometry_figures", count: 1000, ...params }), { base_folder: "." });
const bytesOf = (sample: Sample): Uint8Array => (sample.images[0] as { bytes: Uint8Array }).bytes;

/** The answer, worked out again from the words of a question alone. */
const solvers: Readonly<Record<string, (n: readonly number[], asked: string) => string>> = {
  triangle_angles: ([a, b]) => `${180 - a! - b!}`,
  isosceles_triangle: ([a]) => `${(180 - a!) / 2}`,
  exterior_angle: ([a, b]) => `${a! + b!}`,
  pythagoras: ([a, b], asked) => `${Math.sqrt(asked.includes("BC") ? a! ** 2 + b! ** 2 : b! ** 2 - a! ** 2)}`,
  rectangle_area: ([a, b]) => `${a! * b!}`,
  rectangle_perimeter: ([a, b]) => `${2 * (a! + b!)}`,
  parallel_lines: ([a], asked) => `${asked.includes("EFC") ? 180 - a! : a!}`,
  inscribed_angle: ([a]) => `${a! / 2}`,
  circle_area: ([a]) => `${a! ** 2}\\pi`,
};

test.each(kind_names)("%s: the answer follows from the question; the solution ends with it", async (kind) => {
  const params = { kinds: [kind], size: 56 };
  const [told, shown] = [await open({ ...params, variant: "text_dominant" }), await open(params)];
  const answers = new Set<string>();
  for (let i = 0; i < 12; i++) {
    const [a, b] = [await told.get(i), await shown.get(i)];
    const [givens, asked] = [a.question.replace(/Find.*$/, ""), /Find.*$/.exec(a.question)![0]];
    const numbers = [...givens.matchAll(/\d+/g)].map((match) => Number(match[0]));
    expect(a.answer).toBe(solvers[kind]!(numbers, asked));
    expect(a.solution!.endsWith(`\\boxed{${a.answer}}`)).toBe(true);
    expect([b.answer, b.solution]).toEqual([a.answer, a.solution]);
    expect(b.question).not.toMatch(/\d/); // only the figure shows the numbers
    expect(Buffer.compare(bytesOf(a), bytesOf(b))).not.toBe(0);
    answers.add(a.answer);
  }
  expect(answers.size).toBeGreaterThan(4);
});

test("the same index gives the same bytes, after opening again too", async () => {
  const [a, b] = [await open({ seed: 2 }), await open({ seed: 2, count: 5 })];
  for (const i of [3, 0]) expect(await b.get(i)).toEqual(await a.get(i));
  expect((await (await open({ seed: 3 })).get(0)).question + (await (await open({ seed: 3 })).get(0)).answer).not.toBe(
    (await a.get(0)).question + (await a.get(0)).answer,
  );
  await expect(b.get(5)).rejects.toThrow(RangeError);
});

test("figures are those that were reviewed", async () => {
  const dataset = await open({ kinds: ["pythagoras"], seed: 1 });
  const { data, info } = await sharp(bytesOf(await dataset.get(0)))
    .raw()
    .toBuffer({ resolveWithObject: true });
  expect([info.width, info.height, info.channels]).toEqual([224, 224, 3]);
  const dark = data.filter((value) => value < 128).length / data.length;
  expect(dark).toBeGreaterThan(0.005);
  expect(dark).toBeLessThan(0.1);
  const svg = svgOf(triangleAngles(drawsOf("x")).figure, { turn: 30, mirrored: true, size: 224 });
  expect(createHash("sha256").update(svg).digest("hex").slice(0, 16)).toBe("3a2f5ec796c8e3d8");
});

describe("splits", () => {
  test("share no problem", async () => {
    const seen = new Map<string, string>();
    for (const split of ["train", "validation", "test"]) {
      const dataset = await open({ split, variant: "text_dominant", size: 56, seed: 7 });
      for (let i = 0; i < 60; i++) {
        const { question } = await dataset.get(i);
        expect(seen.get(question) ?? split).toBe(split);
        seen.set(question, split);
      }
    }
  });

  test("divide the problems 8 : 1 : 1", () => {
    const counts = { train: 0, validation: 0, test: 0 };
    for (let a = 0; a < 100; a++) for (let b = 0; b < 100; b++) counts[splitOf("x", [a, b])] += 1;
    expect(Math.abs(counts.train - 8000)).toBeLessThan(150);
    expect(Math.abs(counts.test - 1000)).toBeLessThan(150);
  });
});

test("every glyph lies inside its box", () => {
  for (const character of "0123456789?°ABCDEFGO") {
    const points = [...textPath(character, 0, 0, 6).matchAll(/[ML](\S+) ([^ML]+)/g)];
    expect(points.length).toBeGreaterThan(1);
    for (const [, x, y] of points) expect(Math.abs(Number(x)) <= 2 && Math.abs(Number(y)) <= 3).toBe(true);
  }
  expect(() => textPath("z", 0, 0, 6)).toThrow("no glyph");
});

test.each([
  [{ kinds: [] }],
  [{ kinds: ["pythagoras", "pythagoras"] }],
  [{ kinds: ["square"] }],
  [{ size: 10 }],
  [{ shape: 1 }],
])("%j is refused", (params) => {
  expect(datasetSchema.safeParse({ name: "geometry_figures", count: 1, ...params }).success).toBe(false);
});
