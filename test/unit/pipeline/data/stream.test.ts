import { describe, expect, test } from "vitest";
import type { Sample } from "../../../../src/batches/sample.js";
import { permutation } from "../../../../src/pipeline/data/permutation.js";
import { PromptStream, type SampleSource } from "../../../../src/pipeline/data/stream.js";

const sample = (i: number): Sample => ({ id: `s${i}`, question: "", answer: "", images: [] });
const indexed = (length: number) => ({ length, get: async (i: number) => sample(i) });
const ids = async (stream: PromptStream, count: number) => (await stream.next(count)).map(({ sample }) => sample.id);

describe("permutation", () => {
  test("holds every index once", () => {
    for (const length of [1, 2, 7, 1000]) {
      const sorted = Array.from(permutation(length, 5, 3)).sort((a, b) => a - b);
      expect(sorted).toEqual(Array.from({ length }, (_, i) => i));
    }
  });

  test("depends on seed and epoch, and stays what it was", () => {
    expect(Array.from(permutation(10, 0, 0))).toEqual([1, 2, 9, 0, 4, 5, 8, 7, 6, 3]);
    const keys = [
      [0, 0],
      [0, 1],
      [1, 0],
      [2 ** 40, 0],
    ] as const;
    const orders = keys.map(([seed, epoch]) => permutation(50, seed, epoch).join());
    expect(new Set(orders).size).toBe(4);
  });

  test("every index is equally likely in every place", () => {
    const epochs = 6000;
    const counts = Array.from({ length: 6 }, () => new Array<number>(6).fill(0));
    for (let epoch = 0; epoch < epochs; ++epoch)
      permutation(6, 1, epoch).forEach((index, place) => (counts[place]![index]! += 1));
    // Binomial(6000, 1/6): standard deviation 29; 36 counts within 4.5 of them.
    for (const count of counts.flat()) expect(Math.abs(count - epochs / 6)).toBeLessThan(130);
  });
});

describe("samples asked for ahead", () => {
  test("are those that come next, over epochs, each read once", async () => {
    const reads: number[] = [];
    const source = { length: 3, get: async (i: number) => (reads.push(i), sample(i)) };
    const stream = new PromptStream(source, { seed: 1 });
    const plain = new PromptStream(indexed(3), { seed: 1 });
    expect(await ids(stream, 2)).toEqual(await ids(plain, 2));
    const seen = (await stream.upcoming(4)).map(({ sample }) => sample.id);
    expect(stream.cursor).toEqual({ drawn: 2 });
    expect(await ids(stream, 1)).toEqual([seen[0]]);
    expect((await stream.upcoming(4)).map(({ sample }) => sample.id).slice(0, 3)).toEqual(seen.slice(1));
    expect(seen).toEqual(await ids(plain, 4));
    expect(reads).toHaveLength(7);
  });
  test("end before one that cannot be read, which is told in its time", async () => {
    const failing = { length: 4, get: async (i: number) => (i === 2 ? Promise.reject(new Error("gone")) : sample(i)) };
    const stream = new PromptStream(failing, { seed: 0 });
    const ahead = await stream.upcoming(4);
    expect(ahead.length).toBeLessThan(4);
    expect(await ids(stream, ahead.length)).toHaveLength(ahead.length);
    await expect(stream.next(1)).rejects.toThrow("gone");
  });
  test("are none where samples can only be gone through", async () => {
    const stream = new PromptStream([sample(0), sample(1)], { seed: 0 });
    expect(await stream.upcoming(2)).toEqual([]);
    expect(await ids(stream, 2)).toEqual(["s0", "s1"]);
  });
});

describe("a dataset", () => {
  test("every epoch holds every sample once, in another order; the remainder opens the next step", async () => {
    const stream = new PromptStream(indexed(5), { seed: 1 });
    const drawn = [...(await ids(stream, 3)), ...(await ids(stream, 3)), ...(await ids(stream, 4))];
    const [first, second] = [drawn.slice(0, 5), drawn.slice(5)];
    expect([...first].sort()).toEqual(["s0", "s1", "s2", "s3", "s4"]);
    expect([...second].sort()).toEqual([...first].sort());
    expect(second).not.toEqual(first);
  });

  test("prompt ids count the whole run", async () => {
    const stream = new PromptStream(indexed(2), { seed: 1 });
    await stream.next(3);
    expect((await stream.next(2)).map(({ prompt_id }) => prompt_id)).toEqual([3, 4]);
    expect(stream.cursor).toEqual({ drawn: 5 });
  });

  test("empty: refused", () => {
    expect(() => new PromptStream(indexed(0), { seed: 1 })).toThrow("the dataset has no samples");
  });
});

const list = (count: number) => Array.from({ length: count }, (_, i) => sample(i));
async function* later(count: number) {
  yield* list(count);
}

describe.each<[string, (count: number) => SampleSource]>([
  ["an array", list],
  ["a generator", (count) => list(count).values()],
  ["an async generator", later],
])("%s", (_, source) => {
  test("is taken in its own order and ends", async () => {
    const stream = new PromptStream(source(5), { seed: 1 });
    expect(await ids(stream, 3)).toEqual(["s0", "s1", "s2"]);
    expect(await ids(stream, 3)).toEqual(["s3", "s4"]);
    expect(await ids(stream, 3)).toEqual([]);
    expect(stream.cursor).toEqual({ drawn: 5 });
  });
});

describe("a cursor", () => {
  const sources: readonly [string, () => SampleSource][] = [
    ["dataset", () => indexed(5)],
    ["iterable", () => later(20)],
  ];
  test.each(sources)("of a %s goes on exactly", async (_, source) => {
    const whole = await new PromptStream(source(), { seed: 9 }).next(17);
    for (const drawn of [0, 4, 5, 12]) {
      const cursor = JSON.parse(JSON.stringify({ drawn })) as { drawn: number };
      expect(await new PromptStream(source(), { seed: 9, cursor }).next(17 - drawn)).toEqual(whole.slice(drawn));
    }
  });
});

test("disposing closes the iterator, once and only before its end", async () => {
  let closed = 0;
  const counted = async function* () {
    try {
      yield* list(3);
    } finally {
      closed += 1;
    }
  };
  const stream = new PromptStream(counted(), { seed: 1 });
  await stream.next(1);
  await stream[Symbol.asyncDispose]();
  await stream[Symbol.asyncDispose]();
  expect(closed).toBe(1);
  expect(await stream.next(1)).toEqual([]);
});

test.each<[unknown, string]>([
  [undefined, "returned nothing"],
  ["total?", "sample 0 of the run (from 0) is total?, not an object"],
  [{ ...sample(0), id: 7 }, "has no id that is text"],
  [{ ...sample(0), answer: 5 }, 'id "s0", has no answer that is text'],
  [{ id: "a", question: "q", answer: "1" }, "has no list of images"],
  [{ ...sample(0), history: [{ role: "system", content: "x" }] }, "has a history that is not a list"],
  [{ ...sample(0), system_prompt: 1 }, "has a system_prompt that is not text"],
  [{ ...sample(0), images: ["a.png"] }, "neither { path } nor { bytes }"],
])("a program's sample %j is refused by name", async (wrong, message) => {
  const stream = new PromptStream({ length: 1, get: () => wrong as Sample }, { seed: 0 });
  await expect(stream.next(1)).rejects.toMatchObject({
    code: "DATASET_INVALID",
    message: expect.stringContaining(message) as string,
  });
});
