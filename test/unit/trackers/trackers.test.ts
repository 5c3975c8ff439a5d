import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadConfig } from "../../../src/config/load.js";
import { sftConfigSchema, trainConfigSchema } from "../../../src/config/schema.js";
import type { EvaluationResult } from "../../../src/evaluate/result.js";
import type { TrainEvent } from "../../../src/pipeline/events.js";
import { runSft, runTrain } from "../../../src/pipeline/run.js";
import { openTrackers } from "../../../src/trackers/open.js";
import { trackersSchema } from "../../../src/trackers/registry.js";
import { crc32c, record } from "../../../src/trackers/tensorboard/record.js";
import { tracked } from "../../../src/trackers/tracked.js";
import type { Tracker } from "../../../src/trackers/tracker.js";
import { crc32cBitwise, events, frames } from "./event-file.js";

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "sightloop-trackers-"))));
afterEach(() => rmSync(folder, { recursive: true }));

const result: EvaluationResult = {
  ...{
    setting: "t1",
    control: "none",
    majority_at: {},
    by_length: [],
    num_items: 4,
    completions_per_prompt: 2,
    accuracy: 0.5,
    interval: [0.1, 0.9],
  },
  ...{ pass_at: { 1: 0.5, 2: 0.75 }, mean_completion_length: 12.5, truncated: 0.25, correct: [1, 2, 0, 1] },
};
const started = (step: number): TrainEvent => ({
  ...{ type: "started", step, steps: 9, num_parameters: 10, num_trainable_parameters: 5, run_folder: folder },
});
const step = (number: number, metrics: Record<string, number>): TrainEvent => ({
  ...{ type: "step", step: number, steps: 9, metrics },
});
const evaluated = (number: number, accuracy = 0.5): TrainEvent => ({
  ...{ type: "evaluated", step: number, split: "test", results: [{ ...result, accuracy }] },
});
const done: TrainEvent = {
  ...{ type: "done", step: 2, run_folder: null, model_path: null, adapter_path: null },
};

/** What comes out when trackers listen. */
async function run(config: unknown, given: readonly TrainEvent[], limit_ms?: number): Promise<TrainEvent[]> {
  const trackers = await openTrackers(trackersSchema.parse(config), folder);
  return heard(trackers, given, limit_ms);
}
async function heard(
  trackers: readonly { name: string; tracker: Tracker }[],
  given: readonly TrainEvent[],
  limit_ms?: number,
): Promise<TrainEvent[]> {
  const source = async function* () {
    yield* given;
  };
  const out: TrainEvent[] = [];
  for await (const event of tracked(source(), trackers, { seed: 7 }, limit_ms)) out.push(event);
  return out;
}
const read = (...path: string[]): string => readFileSync(join(folder, ...path), "utf8");

describe("csv", () => {
  const csv = [{ name: "csv" }];

  test("a row a step; a metric that comes later gets a column", async () => {
    await run(csv, [started(0), step(1, { loss: 0.5, reward_mean: 1 }), step(2, { loss: 0.25, kl: 1e-9 }), done]);
    expect(read("csv", "metrics.csv")).toBe("step,loss,reward_mean,kl\n1,0.5,1,\n2,0.25,,1e-9\n");
  });

  test("evaluations, a row a setting", async () => {
    await run(csv, [started(0), evaluated(0), evaluated(2), done]);
    expect(read("csv", "evaluations.csv")).toBe(
      "step,split,setting,num_items,completions_per_prompt,accuracy,accuracy_low,accuracy_high,pass_at_n,mean_completion_length,truncated\n" +
        "0,test,t1,4,2,0.5,0.1,0.9,0.75,12.5,0.25\n2,test,t1,4,2,0.5,0.1,0.9,0.75,12.5,0.25\n",
    );
  });

  test("a resumed run replaces the steps after its checkpoint, and that checkpoint's evaluation", async () => {
    await run(csv, [started(0), ...[1, 2, 3].map((n) => step(n, { loss: n })), evaluated(2), evaluated(3)]);
    await run(csv, [started(2), evaluated(2, 0.75), step(3, { loss: 30 }), done]);
    expect(read("csv", "metrics.csv")).toBe("step,loss\n1,1\n2,2\n3,30\n");
    const rows = read("csv", "evaluations.csv").trim().split("\n").slice(1);
    expect(rows.map((row) => row.split(",").slice(0, 6).join())).toEqual(["2,test,t1,4,2,0.75"]);
  });

  test("a fresh run begins anew in a folder of an earlier one", async () => {
    await run(csv, [started(0), evaluated(0), step(1, { loss: 1 })]);
    await run(csv, [started(0), evaluated(0), step(1, { loss: 2 })]);
    expect(read("csv", "metrics.csv")).toBe("step,loss\n1,2\n");
    expect(read("csv", "evaluations.csv").trim().split("\n")).toHaveLength(2);
  });
});

describe("tensorboard", () => {
  const tensorboard = [{ name: "tensorboard" }];
  const files = (): string[] => readdirSync(join(folder, "tensorboard")).sort();
  const eventsOf = (name: string) => events(readFileSync(join(folder, "tensorboard", name)));

  test("checksums are CRC-32C", () => {
    // RFC 3720, appendix B.4, and the check value of the algorithm
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
    const noise = Uint8Array.from({ length: 1000 }, (_, i) => (i * 2654435761) >>> 24);
    expect(crc32c(noise)).toBe(crc32cBitwise(noise));
  });

  test("a damaged record shows", () => {
    const framed = Buffer.from(record(Buffer.from("abc")));
    expect([...frames(framed)].map(String)).toEqual(["abc"]);
    for (const at of [3, 9, 13, 16]) {
      const damaged = Buffer.from(framed);
      damaged[at]! ^= 1;
      expect(() => [...frames(damaged)], `${at}`).toThrow();
    }
  });

  test("metrics and evaluations are scalars, the config a text", async () => {
    const before = Date.now() / 1000;
    await run(tensorboard, [started(0), step(1, { loss: 0.5, reward_mean: -1e-9 }), evaluated(300), done]);
    const [version, text, one, other, ...rest] = eventsOf(files()[0]!);
    expect(rest).toEqual([]);
    expect(version).toMatchObject({ version: "brain.Event:2", step: 0 });
    expect(text!.texts).toEqual({ config: "```yaml\nseed: 7\n\n```" });
    expect(one!.step).toBe(1);
    expect(one!.scalars).toEqual({ "train/loss": 0.5, "train/reward_mean": Math.fround(-1e-9) });
    expect(other!.step).toBe(300);
    expect(other!.scalars).toEqual({
      "test/t1/accuracy": 0.5,
      "test/t1/mean_completion_length": 12.5,
      "test/t1/truncated": 0.25,
      "test/t1/pass@1": 0.5,
      "test/t1/pass@2": 0.75,
    });
    expect(one!.wall_time).toBeGreaterThanOrEqual(before);
    expect(one!.wall_time).toBeLessThan(before + 60);
  });

  test("a resumed run takes a new file that ends the steps after the checkpoint", async () => {
    await run(tensorboard, [started(0), step(1, { loss: 1 }), step(2, { loss: 2 })]);
    const [first] = files();
    await run(tensorboard, [started(1), step(2, { loss: 20 }), done]);
    const second = files().find((name) => name !== first)!;
    const [, restart, again] = eventsOf(second);
    expect(restart).toMatchObject({ restarts: true, step: 2 });
    expect(again).toMatchObject({ step: 2, scalars: { "train/loss": 20 } });
  });

  const python = process.env["SIGHTLOOP_PYTHON"] ?? "python3";
  const has_tensorboard = spawnSync(python, ["-c", "import tensorboard"]).status === 0;
  test.skipIf(!has_tensorboard)(
    `TensorBoard itself reads it (skipped where ${python} has no tensorboard; SIGHTLOOP_PYTHON names another)`,
    async () => {
      await run(tensorboard, [started(0), ...[1, 2, 3].map((n) => step(n, { loss: n }))]);
      await run(tensorboard, [started(2), step(3, { loss: 30 }), evaluated(3), done]);
      const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
read = EventAccumulator(sys.argv[1]); read.Reload()
print(json.dumps({tag: [[e.step, e.value] for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}))
print(read.Tags()["tensors"], read.summary_metadata["config"].plugin_data.plugin_name)
`;
      const child = spawnSync(python, ["-c", script, join(folder, "tensorboard")], { encoding: "utf8" });
      const [scalars, texts] = child.stdout.trim().split("\n");
      expect(child.status, child.stderr).toBe(0);
      expect(JSON.parse(scalars!)).toMatchObject({
        "train/loss": [
          [1, 1],
          [2, 2],
          [3, 30],
        ],
        "test/t1/accuracy": [[3, 0.5]],
      });
      expect(texts).toBe("['config'] text");
    },
    60_000,
  );
});

describe("a tracker that fails", () => {
  const failing = (at: keyof Tracker, fail: () => Promise<void>): Tracker => ({ [at]: fail });
  const events_of_run = [started(0), step(1, { loss: 1 }), step(2, { loss: 2 }), evaluated(2), done];

  test.each(["start", "step", "evaluated", "finish"] as const)("in %s is left out, and the run goes on", async (at) => {
    let calls = 0;
    const tracker = failing(at, async () => {
      calls += 1;
      throw new Error("no route");
    });
    const out = await heard([{ name: "mine", tracker }], events_of_run);
    const notes = out.filter((event) => event.type === "note").map(({ message }) => message);
    expect(out.filter(({ type }) => type !== "note")).toEqual(events_of_run);
    expect(calls).toBe(1);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(/^tracker mine failed at .* and hears no more of this run: Error: no route$/);
  });

  test("by taking too long is left out", async () => {
    const tracker = failing("step", () => new Promise(() => {}));
    const out = await heard([{ name: "slow", tracker }], events_of_run, 20);
    expect(out.filter((event) => event.type === "note").map(({ message }) => message)).toEqual([
      "tracker slow failed at step 1 and hears no more of this run: Error: no answer within 0.02 s",
    ]);
  });

  test("leaves the others alone, and they finish once, also when nobody listens to the end", async () => {
    const heard_steps: number[] = [];
    let finished = 0;
    const good: Tracker = { step: (event) => void heard_steps.push(event.step), finish: () => void finished++ };
    const bad = failing("step", async () => Promise.reject(new Error("x")));
    const source = async function* () {
      yield* events_of_run;
    };
    const named = [bad, good].map((tracker, i) => ({ name: `${i}`, tracker }));
    for await (const event of tracked(source(), named, {})) if (event.type === "evaluated") break;
    expect(heard_steps).toEqual([1, 2]);
    expect(finished).toBe(1);
  });

  test("with a full or forbidden folder is a note, too", async () => {
    writeFileSync(join(folder, "csv"), "a file where the folder should be");
    const out = await run([{ name: "csv" }], events_of_run);
    expect(out.filter(({ type }) => type === "note")).toHaveLength(1);
  });
});

describe("a module", () => {
  const write = (code: string): string => {
    const file = join(folder, "mine.ts");
    writeFileSync(file, code);
    return file;
  };

  test("hears everything, with its params", async () => {
    const log = join(folder, "log.txt");
    const module = write(`
      import { appendFileSync } from "node:fs";
      import { defineTracker } from "sightloop/trackers";
      export default defineTracker(({ log }: { log: string }) => {
        const say = (text: string) => appendFileSync(log, text + "\\n");
        return {
          start: ({ resumed_step, config }) => say("start " + resumed_step + " " + (config as { seed: number }).seed),
          step: ({ step, metrics }) => say("step " + step + " " + metrics.loss),
          evaluated: ({ split, results }) => say(split + " " + results[0].accuracy),
          finish: () => say("finish"),
        };
      });`);
    const out = await run([{ module, params: { log } }], [started(0), step(1, { loss: 0.5 }), evaluated(1), done]);
    expect(out.filter(({ type }) => type === "note")).toEqual([]);
    expect(readFileSync(log, "utf8")).toBe("start 0 7\nstep 1 0.5\ntest 0.5\nfinish\n");
  });

  test.each([
    ["that does not compile", "export default (", "cannot be compiled"],
    ["without a function", "export default 5", "its default export is not a function"],
    ["whose function returns nothing", "export default () => undefined", "its function returns no tracker"],
    ["that throws", 'export default () => { throw new Error("no key") }', "no key"],
  ])("%s is an error before the run", async (_, code, message) => {
    await expect(openTrackers([{ module: write(code), params: {} }], folder)).rejects.toMatchObject({
      code: "TRACKER_INVALID",
      message: expect.stringContaining(message) as string,
    });
  });

  test("hears that a run is over whose model cannot be opened", async () => {
    const log = join(folder, "log.txt");
    const module = write(`
      import { appendFileSync } from "node:fs";
      const say = (text: string) => () => appendFileSync(${JSON.stringify(log)}, text);
      export default () => ({ start: say("start"), finish: say("finish") });`);
    const trackers = `trackers=${JSON.stringify([{ module }])}`;
    const set = [trackers, `model.path=${join(folder, "none")}`, `run_folder=${join(folder, "run")}`];
    const rl = await loadConfig(trainConfigSchema, "configs/twins/grpo.yaml", set);
    const sft = await loadConfig(sftConfigSchema, "configs/demo_sft.yaml", set);
    const { signal } = new AbortController();
    const options = { resume: false, command: "", base_folder: "." };
    for (const events of [runTrain(rl.config, options, signal), runSft(sft.config, options, signal)])
      await expect(events.next()).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    expect(readFileSync(log, "utf8")).toBe("finishfinish");
  });

  test("that is not there is an error", async () => {
    const missing = openTrackers([{ module: join(folder, "nope.ts"), params: {} }], folder);
    await expect(missing).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
  });
});

test("a tracker without a place to write is an error", async () => {
  await expect(openTrackers(trackersSchema.parse([{ name: "csv" }]), null)).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: "trackers.0: csv has nowhere to write: the run keeps no folder",
  });
  await openTrackers(trackersSchema.parse([{ name: "csv", folder: join(folder, "else") }]), null);
  expect(existsSync(join(folder, "else"))).toBe(false);
});
