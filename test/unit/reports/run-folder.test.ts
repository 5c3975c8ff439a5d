import { existsSync } from "node:fs";
import { appendFile, chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { tableFromIPC } from "apache-arrow";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { promptBatch } from "../../../src/batches/prompt.js";
import { UserError } from "../../../src/errors.js";
import { supervisedTrajectories } from "../../../src/pipeline/trajectory/supervised.js";
import { latestCheckpoint, writeCheckpoint } from "../../../src/reports/checkpoints.js";
import { makeFolder, writing } from "../../../src/reports/files.js";
import { lockFolder } from "../../../src/reports/lock.js";
import { openRunFolder, type RunRecord } from "../../../src/reports/run-folder.js";
import { writeSafetensors } from "../../helpers/checkpoints.js";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "sightloop-run-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const config = { seed: 1, steps: 10, optimizer: { learning_rate: 1e-3 }, run_folder: "x" };
const open = (resume = false, changes: object = {}): Promise<RunRecord> =>
  openRunFolder({
    folder: join(root, "run"),
    config: { ...config, ...changes },
    manifest: { seed: 1 },
    resume,
    keep: { last: 2, best: 0 },
  });
const save = (record: RunRecord, step: number, evaluated = true) =>
  record.checkpoint(
    { step, data: { drawn: step * 4 }, evaluated, score: null },
    {
      bytes: async () => 1000,
      fill: async (folder) => {
        await mkdir(join(folder, "model"));
        writeSafetensors(join(folder, "model", "model.safetensors"), weightOf(step), "F32");
      },
      prune: true,
    },
  );
const trajectories = supervisedTrajectories(
  promptBatch([
    { prompt_id: 7, sample_id: "a", token_ids: Int32Array.of(1, 2), image_ids: ["h1"] },
    { prompt_id: 8, sample_id: "b", token_ids: Int32Array.of(3), image_ids: [] },
  ]),
  [[4, 5], [6]],
);
const weightOf = (value: number) => new Map([["weight", { shape: [1], data: Float32Array.of(value) }]]);
const texts = [
  { prompt: "p", completion: "c", answer: "14" },
  { prompt: "q", completion: "d", answer: "15" },
];
const step = (record: RunRecord, number: number) =>
  record.step({ step: number, metrics: { loss: number / 2 }, trajectories, texts, images: [image] });
const image = { id: "h1", read: async () => Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 1) };
const names = async (...path: string[]) => (await readdir(join(root, "run", ...path))).sort();
const metrics = async () =>
  (await readFile(join(root, "run", "metrics.jsonl"), "utf8"))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { step: number; type: string });

async function refusal(work: Promise<unknown>): Promise<UserError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

describe("a fresh run", () => {
  test("writes config, manifest, metrics, rollouts, each image once, and checkpoints", async () => {
    {
      await using record = await open();
      await step(record, 1);
      await step(record, 2);
      await record.evaluated(2, "validation", [{ setting: "greedy", accuracy: 0.5 }]);
      await save(record, 2);
    }
    expect(await names()).toEqual([
      "checkpoints",
      "config.yaml",
      "images",
      "manifest.json",
      "metrics.jsonl",
      "rollouts",
    ]);
    expect(await names("images")).toEqual(["h1.png"]);
    expect(await names("rollouts")).toEqual(["step-000001.arrow", "step-000002.arrow"]);
    expect(await names("checkpoints")).toEqual(["latest", "step-000002"]);
    expect(await metrics()).toEqual([
      { type: "step", step: 1, loss: 0.5 },
      { type: "step", step: 2, loss: 1 },
      { type: "evaluated", step: 2, split: "validation", results: [{ setting: "greedy", accuracy: 0.5 }] },
    ]);
    const table = tableFromIPC(await readFile(join(root, "run", "rollouts", "step-000001.arrow")));
    expect(table.numRows).toBe(2);
    expect([...table.getChild("token_ids")!].map((row: Iterable<number>) => [...row])).toEqual([
      [1, 2, 4, 5],
      [3, 6],
    ]);
    expect([...table.getChild("completion_mask")!].map((row: Iterable<boolean>) => [...row])).toEqual([
      [false, false, true, true],
      [false, true],
    ]);
    expect([...table.getChild("answer")!]).toEqual(["14", "15"]);
  });

  test("is refused in a folder that is not empty", async () => {
    await mkdir(join(root, "run"));
    await writeFile(join(root, "run", "notes.txt"), "");
    const error = await refusal(open());
    expect(error.code).toBe("RUN_FOLDER_IN_USE");
    expect(error.hint).toContain("--resume");
    expect(await names()).toEqual(["notes.txt"]);
  });

  test("that fails before its first result leaves no folder", async () => {
    await (await open())[Symbol.asyncDispose]();
    expect(existsSync(join(root, "run"))).toBe(false);
  });
});

describe("resume", () => {
  async function threeSteps(): Promise<void> {
    await using record = await open();
    for (const number of [1, 2, 3]) {
      await step(record, number);
      await record.evaluated(number, "validation", []);
      if (number < 3) await save(record, number);
    }
  }

  test("goes back to the latest checkpoint: metrics and rollouts after it are gone", async () => {
    await threeSteps();
    await appendFile(join(root, "run", "metrics.jsonl"), '{"type":"step","st'); // cut off by a crash
    await mkdir(join(root, "run", "checkpoints", ".tmp-step-000003-1"));
    await writeFile(join(root, "run", "rollouts", "step-000004.arrow.tmp"), "");
    await using record = await open(true);
    expect(record.resumed?.cursor).toMatchObject({ step: 2, data: { drawn: 8 }, evaluated: true });
    expect((await metrics()).map(({ type, step }) => `${type} ${step}`)).toEqual([
      "step 1",
      "evaluated 1",
      "step 2",
      "evaluated 2",
    ]);
    expect(await names("rollouts")).toEqual(["step-000001.arrow", "step-000002.arrow"]);
    expect(await names("checkpoints")).toEqual(["latest", "step-000001", "step-000002"]);
  });

  test("does an evaluation again that the checkpoint does not hold", async () => {
    {
      await using record = await open();
      await step(record, 1);
      await save(record, 1, false);
      await record.evaluated(1, "validation", []);
    }
    await using record = await open(true);
    expect(record.resumed?.cursor.evaluated).toBe(false);
    expect(await metrics()).toEqual([{ type: "step", step: 1, loss: 0.5 }]);
  });

  test("without a checkpoint starts from the first step", async () => {
    {
      await using record = await open();
      await step(record, 1);
    }
    await using record = await open(true);
    expect(record.resumed).toBeUndefined();
    expect(await metrics()).toEqual([]);
    expect(await names("rollouts")).toEqual([]);
  });

  test("with other steps is fine, with another learning rate names it", async () => {
    await threeSteps();
    await (await open(true, { steps: 20, run_folder: "y" }))[Symbol.asyncDispose]();
    const error = await refusal(open(true, { optimizer: { learning_rate: 2e-3 } }));
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.message).toContain("optimizer.learning_rate: 0.001 -> 0.002");
    expect(await metrics()).toHaveLength(4);
  });

  test("of a folder without a run is an error", async () => {
    expect((await refusal(open(true))).message).toContain("holds no run to resume");
    expect(existsSync(join(root, "run"))).toBe(false);
  });
});

describe("checkpoints", () => {
  const folder = () => join(root, "checkpoints");
  const cursor = (step: number) => ({ step, data: null, evaluated: true, score: null, config_hash: "" });
  const write = (step: number, last: number, fill = async (_: string): Promise<void> => {}) =>
    writeCheckpoint(folder(), cursor(step), { last, best: 0 }, { bytes: async () => 100, fill, prune: true });

  test("keep only the last ones", async () => {
    for (const number of [1, 2, 3]) await write(number, 2);
    expect((await readdir(folder())).sort()).toEqual(["latest", "step-000002", "step-000003"]);
  });

  test("that fail half way leave the one before as it was", async () => {
    await write(1, 2);
    const failing = write(2, 2, async (path) => {
      await writeFile(join(path, "model.safetensors"), "half");
      throw new Error("power cut");
    });
    await expect(failing).rejects.toThrow("power cut");
    expect((await readdir(folder())).sort()).toEqual(["latest", "step-000001"]);
    expect((await latestCheckpoint(folder()))?.cursor.step).toBe(1);
  });

  test("are found without the pointer, and follow it where it stands", async () => {
    for (const number of [1, 2]) await write(number, 0);
    await rm(join(folder(), "latest"));
    expect((await latestCheckpoint(folder()))?.cursor.step).toBe(2);
    await writeFile(join(folder(), "latest"), "step-000001\n");
    expect((await latestCheckpoint(folder()))?.cursor.step).toBe(1);
  });

  test("with a broken cursor say which file", async () => {
    await write(1, 0);
    await writeFile(join(folder(), "step-000001", "cursor.json"), "{");
    const error = await refusal(latestCheckpoint(folder()));
    expect(error.code).toBe("CHECKPOINT_INVALID");
    expect(error.message).toContain("cursor.json");
  });
});

test("a batch that must not be learned from is kept with what was wrong, and survives a resume", async () => {
  const divergence = {
    ...{ optimizer_step: 4, loss: Number.NaN, grad_norm: Infinity, parameters: ["w"], minibatch_rows: [1] },
  };
  {
    await using record = await open();
    const path = await record.diverged({ step: 3, trajectories, texts, images: [image], divergences: [divergence] });
    expect(path).toBe(join(root, "run", "diverged", "step-000003.arrow"));
    await record.diverged({ step: 4, trajectories, divergences: [divergence] });
  }
  await (await open(true))[Symbol.asyncDispose]();
  expect(await names("diverged")).toEqual(
    ["3.arrow", "3.json", "4.arrow", "4.json"].map((name) => `step-00000${name}`),
  );
  const table = tableFromIPC(await readFile(join(root, "run", "diverged", "step-000003.arrow")));
  expect([...table.getChild("answer")!]).toEqual(["14", "15"]);
  expect(JSON.parse(await readFile(join(root, "run", "diverged", "step-000003.json"), "utf8"))).toEqual({
    step: 3,
    divergences: [{ optimizer_step: 4, loss: "NaN", grad_norm: "Infinity", parameters: ["w"], minibatch_rows: [1] }],
  });
});

describe("lock", () => {
  test("refuses a second run in the same folder, in this process too", async () => {
    const unlock = await lockFolder(root);
    expect((await refusal(lockFolder(root))).message).toContain(`process ${process.pid}`);
    await unlock();
    await (
      await lockFolder(root)
    )();
  });

  test.each([
    ["a dead process", JSON.stringify({ pid: 2 ** 22 + 1, host: hostname(), started: null })],
    ["a reused pid", JSON.stringify({ pid: process.pid, host: hostname(), started: "1" })],
    ["a writer that died half way", '{"pid":'],
  ])("of %s is taken over", async (_, content) => {
    await writeFile(join(root, "lock"), content);
    await (
      await lockFolder(root)
    )();
    expect(existsSync(join(root, "lock"))).toBe(false);
  });

  test("of another machine holds", async () => {
    await writeFile(join(root, "lock"), JSON.stringify({ pid: 1, host: "elsewhere", started: null }));
    expect((await refusal(lockFolder(root))).hint).toContain("lock");
  });
});

describe("the disk", () => {
  test("a full one is a user's error that names the path", async () => {
    const full = Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC", path: "/runs/a/metrics.jsonl" });
    const error = await refusal(writing("/runs/a", () => Promise.reject(full)));
    expect(error.message).toMatch(/^\/runs\/a\/metrics.jsonl cannot be written: the disk is full \(ENOSPC\)/);
    const here = Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC", path: "metrics.jsonl" });
    expect((await refusal(writing(root, () => Promise.reject(here)))).message).toMatch(/; \d+\.\d MiB are free there$/);
  });

  test.skipIf(process.getuid?.() === 0)("a folder that may not be written says so", async () => {
    await chmod(root, 0o500);
    const error = await refusal(open());
    await chmod(root, 0o700);
    expect(error.message).toContain("permission denied");
  });

  test.skipIf(process.platform !== "linux")("a file system that takes no folders says so, and at once", async () => {
    const error = await refusal(makeFolder("/proc/sightloop/run"));
    expect(error.code).toBe("FILE_NOT_WRITABLE");
    expect(error.message).toBe("/proc/sightloop cannot be made: no folders can be made in /proc");
  });

  test("folders are made with those above them, also by several at once", async () => {
    const path = join(root, "a", "b", "c");
    await Promise.all([makeFolder(path), makeFolder(path), makeFolder(join(root, "a", "d"))]);
    await makeFolder(path);
    expect((await readdir(join(root, "a"))).sort()).toEqual(["b", "d"]);
    await writeFile(join(path, "file"), "");
    await expect(makeFolder(join(path, "file"))).rejects.toThrow("EEXIST");
  });

  test("a file in the way says so", async () => {
    await writeFile(join(root, "run"), "");
    expect((await refusal(open())).message).toContain("is a file");
  });

  test("a bug keeps its own error", async () => {
    await expect(writing("x", () => Promise.reject(new TypeError("bug")))).rejects.toThrow(TypeError);
  });
});
