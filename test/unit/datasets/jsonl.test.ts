import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { datasetSchema, openDataset } from "../../../src/datasets/registry.js";
import { UserError } from "../../../src/errors.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sightloop-jsonl-"));
  await mkdir(join(folder, "photos"));
  for (const name of ["a.png", "photos/b.png"]) await writeFile(join(folder, name), "pixels");
  await writeFile(join(folder, "empty.png"), "");
});
afterAll(() => rm(folder, { recursive: true }));

let count = 0;
async function open(content: string | Buffer, params: Record<string, unknown> = {}) {
  const path = `data-${(count += 1)}.jsonl`;
  await writeFile(join(folder, path), content);
  return openDataset(datasetSchema.parse({ name: "jsonl", path, ...params }), { base_folder: folder });
}

async function failure(content: string | Buffer, params?: Record<string, unknown>): Promise<UserError> {
  const error: unknown = await open(content, params).then(
    () => new Error("the dataset was accepted"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof UserError)) throw error;
  return error;
}

const row = (extra: Record<string, unknown> = {}): string =>
  JSON.stringify({ question: "How many?", answer: "4", ...extra });

describe("rows", () => {
  test("become samples: three rows with none, one and two images", async () => {
    const dataset = await open(
      [
        row(),
        row({ id: "geo-7", image: "a.png", solution: "2 + 2 = 4", answer: 4 }),
        row({ id: 9, image: ["a.png", "photos/b.png"], answer: -0.5 }),
      ].join("\n"),
    );
    expect(dataset.length).toBe(3);
    expect(await dataset.get(0)).toEqual({ id: "1", question: "How many?", answer: "4", images: [] });
    expect(await dataset.get(1)).toEqual({
      id: "geo-7",
      question: "How many?",
      answer: "4",
      solution: "2 + 2 = 4",
      images: [{ path: join(folder, "a.png") }],
    });
    expect(await dataset.get(2)).toMatchObject({
      id: "9",
      answer: "-0.5",
      images: [{ path: join(folder, "a.png") }, { path: join(folder, "photos/b.png") }],
    });
    await expect(dataset.get(3)).rejects.toThrow(RangeError);
  });

  test.each([
    ["Windows line ends, blank lines, a byte order mark", `\ufeff${row()}\r\n\r\n${row()}\r\n`, ["1", "3"]],
    ["no newline at the end", `${row()}\n${row()}`, ["1", "2"]],
    ["line separators inside a string", row({ question: "a\u2028b\u2029c" }), ["1"]],
    ["null for an optional key", row({ image: null, solution: null, id: null }), ["1"]],
  ])("%s", async (_, content, ids) => {
    const dataset = await open(content);
    const samples = await Promise.all(ids.map((_id, i) => dataset.get(i)));
    expect(dataset.length).toBe(ids.length);
    expect(samples.map(({ id }) => id)).toEqual(ids);
  });

  test("longer than one read of the file stay whole", async () => {
    const long = "x".repeat(300_000);
    const dataset = await open(`${row({ question: long })}\n${row({ question: long })}\n`);
    expect((await dataset.get(1)).question).toBe(long);
  });

  test("take relative images from image_folder, and ignore the keys they are told to", async () => {
    const dataset = await open(row({ image: "b.png", metadata: { source: "test" } }), {
      image_folder: "photos",
      ignore_keys: ["metadata"],
    });
    expect((await dataset.get(0)).images).toEqual([{ path: join(folder, "photos/b.png") }]);
  });
});

describe("a bad row is reported with file, line, what is wrong and what to do", () => {
  test.each([
    ["broken JSON", '{"question": "a"', "not valid JSON"],
    ["an array", "[1, 2]", "expected an object, got [1,2]"],
    ["a missing answer", '{"question": "a"}', '"answer" is missing; add it'],
    ["a missing question", '{"answer": "a"}', '"question" is missing; add it'],
    ["an empty answer", row({ answer: "  " }), '"answer" is empty'],
    ["an answer of another type", row({ answer: [1] }), '"answer" is [1]; expected text'],
    ["a question of another type", row({ question: 3 }), '"question" is 3; expected text'],
    ["a number JSON rounds", '{"question": "a", "answer": 12345678901234567890}', "cannot carry exactly"],
    ["an infinite number", '{"question": "a", "answer": 1e999}', "cannot carry exactly"],
    ["an unknown key", row({ metadata: 1 }), 'unknown key "metadata"; remove it or list it in ignore_keys'],
    ["a likely key", row({ images: ["a.png"] }), 'unknown key "images" (did you mean "image"?)'],
    ["an image of another type", row({ image: { path: "a.png" } }), "expected a path or a list of paths"],
    ["an empty image path", row({ image: "" }), "an empty path"],
    ["an image address", row({ image: "https://example.com/a.png" }), "download the image"],
    ["a missing image", row({ image: "none.png" }), "none.png does not exist"],
    ["an empty image", row({ image: ["a.png", "empty.png"] }), "empty.png is empty"],
    ["a folder as image", row({ image: "photos" }), "is not a file"],
  ])("%s", async (_, content, what) => {
    const error = await failure(`${row()}\n${content}\n${row()}\n`);
    expect(error.code).toBe("DATASET_INVALID");
    expect(error.message).toMatch(/^\S+\.jsonl:2: /);
    expect(error.message).toContain(what);
    expect(error.hint).not.toBe("");
  });

  test("duplicate ids, with both lines", async () => {
    const error = await failure(`${row({ id: "a" })}\n${row()}\n${row({ id: "a" })}\n`);
    expect(error.message).toMatch(/:3: id "a" is already used in line 1/);
  });

  test("text that is not UTF-8", async () => {
    const error = await failure(Buffer.concat([Buffer.from(`${row()}\n`), Buffer.from([0x22, 0xff, 0x22])]));
    expect(error.message).toMatch(/:2: not UTF-8/);
  });

  test("all of them at once, in order; after twenty the rest is counted", async () => {
    const two = await failure([row({ image: "none.png" }), row(), "{}"].join("\n"));
    expect(two.message).toMatch(
      /2 problems in .*\n.*:1: image .*none\.png does not exist\n.*:3: "question" is missing/,
    );
    const many = await failure(Array.from({ length: 23 }, () => "{}").join("\n"));
    expect(many.message.split("\n")).toHaveLength(22);
    expect(many.message).toMatch(/and 3 more$/);
  });
});

describe("a file", () => {
  test.each([
    ["empty", ""],
    ["of blank lines", "\n\n"],
  ])("%s is an error", async (_, content) => {
    expect(await failure(content)).toMatchObject({
      code: "DATASET_INVALID",
      message: expect.stringContaining("no rows") as string,
    });
  });

  test("that does not exist is named", async () => {
    const opening = openDataset(datasetSchema.parse({ name: "jsonl", path: "none.jsonl" }), { base_folder: folder });
    await expect(opening).rejects.toMatchObject({
      code: "FILE_NOT_FOUND",
      message: expect.stringContaining(join(folder, "none.jsonl")) as string,
    });
  });
});

test("unknown parameters and names are errors", () => {
  expect(datasetSchema.safeParse({ name: "jsonl", path: "a", paths: 1 }).success).toBe(false);
  expect(datasetSchema.safeParse({ name: "csv", path: "a" }).success).toBe(false);
});
