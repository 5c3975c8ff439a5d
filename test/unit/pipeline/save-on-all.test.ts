import { describe, expect, test } from "vitest";
import { saveOnAll } from "../../../src/pipeline/save-on-all.js";
import { inMemory } from "../ranks/in-memory.js";

/** What each of three ranks came to, and a meeting after it: none is left behind in another one. */
async function saved(
  write: (fill: (folder: string) => Promise<void>) => Promise<string | null>,
  save: (folder: string, rank: number) => Promise<void> = async () => {},
) {
  const ranks = inMemory(3);
  const results = await Promise.allSettled(
    ranks.map((one) => saveOnAll(one, write, (folder) => save(folder, one.rank))),
  );
  expect(await Promise.all(ranks.map((one) => one.agree({ value: one.rank })))).toEqual(ranks.map(() => [0, 1, 2]));
  return results.map((result) =>
    result.status === "fulfilled" ? result.value : (result.reason as Error).message.replace(/^Error: /, ""),
  );
}

describe("a checkpoint of all ranks", () => {
  test("every rank writes into the folder before it is put in place", async () => {
    const log: string[] = [];
    const write = async (fill: (folder: string) => Promise<void>): Promise<string> => {
      await fill("tmp");
      log.push("renamed");
      return "step-1";
    };
    expect(await saved(write, async (folder, rank) => void log.push(`${rank} into ${folder}`))).toEqual(
      Array(3).fill("step-1"),
    );
    expect(log.at(-1)).toBe("renamed");
    expect(log.slice(0, 3).sort()).toEqual(["0 into tmp", "1 into tmp", "2 into tmp"]);
  });

  test("a run without a folder writes nothing, on all", async () => {
    expect(await saved(async () => null)).toEqual([null, null, null]);
  });

  test.each([0, 2])("if rank %i cannot write, none has a checkpoint", async (bad) => {
    const write = async (fill: (folder: string) => Promise<void>): Promise<string> => {
      await fill("tmp");
      return "step-1";
    };
    const found = await saved(write, async (_, rank) => {
      if (rank === bad) throw new Error("no space left");
    });
    expect(found).toEqual(Array(3).fill(`rank ${bad} could not write its share of the checkpoint: no space left`));
  });

  test("if there is no room, nobody begins", async () => {
    const write = async (): Promise<string> => {
      throw new Error("the disk is full");
    };
    expect(await saved(write, () => Promise.reject(new Error("asked")))).toEqual(Array(3).fill("the disk is full"));
  });

  test("if it cannot be put in place, all know", async () => {
    const write = async (fill: (folder: string) => Promise<void>): Promise<string> => {
      await fill("tmp");
      throw new Error("rename failed");
    };
    expect(await saved(write)).toEqual(Array(3).fill("rename failed"));
  });
});
