import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  bestCheckpoint,
  latestCheckpoint,
  rescoreCheckpoint,
  writeCheckpoint,
} from "../../../src/reports/checkpoints.js";
import { checkRoom, freeBytes } from "../../../src/reports/free-space.js";
import { writeSafetensors } from "../../helpers/checkpoints.js";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "sightloop-checkpoints-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const weights = new Map([["weight", { shape: [2], data: Float32Array.of(1, 2) }]]);
const cursor = (step: number, score: number | null = null) => ({
  ...{ step, data: null, evaluated: true, score, config_hash: "" },
});
interface Options {
  readonly score?: number | null;
  readonly last?: number;
  readonly best?: number;
  readonly bytes?: number;
  readonly prune?: boolean;
  readonly damage?: (file: string) => Promise<void>;
}
const write = (step: number, { score = null, last = 1, best = 0, bytes = 100, prune = true, damage }: Options = {}) =>
  writeCheckpoint(
    root,
    cursor(step, score),
    { last, best },
    {
      ...{ bytes: async () => bytes, prune },
      fill: async (folder) => {
        writeSafetensors(join(folder, "model.safetensors"), weights, "F32");
        await damage?.(join(folder, "model.safetensors"));
      },
    },
  );
const steps = async () =>
  (await readdir(root))
    .flatMap((name) => (name.startsWith("step-") ? [Number(name.slice(5))] : []))
    .sort((a, b) => a - b);

describe("keep_best", () => {
  test("keeps those with the highest scores besides the last ones; of two equal ones the earlier", async () => {
    const scores = [0.3, 0.7, 0.5, 0.7, 0.2, 0.1];
    const kept: (readonly number[])[] = [];
    for (const [i, score] of scores.entries()) {
      await write(i + 1, { score, last: 1, best: 2 });
      kept.push(await steps());
    }
    expect(kept).toEqual([[1], [1, 2], [2, 3], [2, 4], [2, 4, 5], [2, 4, 6]]);
    expect(await readFile(join(root, "best"), "utf8")).toBe("step-000002\n");
    expect(await bestCheckpoint(root)).toMatchObject({ step: 2, score: 0.7, folder: join(root, "step-000002") });
    expect((await latestCheckpoint(root))?.cursor.step).toBe(6);
  });

  test("keeps nothing for its score where there is none", async () => {
    for (const step of [1, 2, 3]) await write(step, { last: 2, best: 2 });
    expect(await steps()).toEqual([2, 3]);
    expect(existsSync(join(root, "best"))).toBe(false);
    expect(await bestCheckpoint(root)).toBeUndefined();
  });

  test("takes a score that came after the checkpoint", async () => {
    await write(1, { score: 0.2, last: 0 });
    await write(2, { last: 0 });
    await rescoreCheckpoint(root, cursor(2, 0.9));
    expect((await bestCheckpoint(root))?.step).toBe(2);
    expect(await readFile(join(root, "best"), "utf8")).toBe("step-000002\n");
  });

  test("a checkpoint whose cursor is damaged is not the best of anything", async () => {
    await write(1, { score: 0.9, last: 0 });
    await writeFile(join(root, "step-000001", "cursor.json"), "{");
    await write(2, { score: 0.1, last: 0 });
    expect((await bestCheckpoint(root))?.step).toBe(2);
  });
});

describe("older checkpoints go only once the new one is whole", () => {
  test.each<[string, Options, RegExp]>([
    [
      "no room",
      { bytes: 2 ** 60 },
      /step-000002 takes 1099511627776\.0 MiB, and \d+\.\d MiB are free there; nothing was written$/,
    ],
    [
      "cut off",
      { damage: async (file) => writeFile(file, (await readFile(file)).subarray(0, -3)) },
      /model\.safetensors is not what was written: it has \d+ bytes, its header describes \d+$/,
    ],
    ["empty", { damage: (file) => writeFile(file, "") }, /it has 0 bytes$/],
    [
      "a broken header",
      { damage: async (file) => writeFile(file, (await readFile(file)).fill(0x20, 8, 20)) },
      /is not what was written/,
    ],
    [
      "a header without end",
      { damage: (file) => writeFile(file, Buffer.alloc(16, 0xff)) },
      /its header has \d+ bytes, the file 16$/,
    ],
  ])("%s", async (_, options, message) => {
    await write(1);
    await expect(write(2, options)).rejects.toThrow(message);
    expect((await readdir(root)).sort()).toEqual(["latest", "step-000001"]);
    expect((await latestCheckpoint(root))?.cursor.step).toBe(1);
    await write(3);
    expect(await steps()).toEqual([3]);
  });

  test("and not at all if asked", async () => {
    await write(1);
    await write(2, { prune: false });
    expect(await steps()).toEqual([1, 2]);
  });
});

test("room: what fits passes, and a path that is not there yet is asked for where it will be", async () => {
  const free = (await freeBytes(root))!;
  expect(free).toBeGreaterThan(0);
  expect(await freeBytes(join(root, "not", "there"))).toBeGreaterThan(0);
  await checkRoom(root, 1);
  await expect(checkRoom(join(root, "not", "there"), 2 ** 62)).rejects.toMatchObject({ code: "FILE_NOT_WRITABLE" });
});
