import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Sample } from "../../../src/batches/sample.js";
import { healthSchema } from "../../../src/config/health.js";
import { healthMonitor } from "../../../src/health/monitor.js";
import type { Processor } from "../../../src/pipeline/data/processor.js";
import { PromptStream, type SampleSource, type StreamCursor } from "../../../src/pipeline/data/stream.js";
import { draw } from "../../../src/pipeline/draw.js";
import type { TrainEvent } from "../../../src/pipeline/events.js";
import type { Loop } from "../../../src/pipeline/loop.js";
import { sft, solutionTokens } from "../../../src/pipeline/sft.js";
import { train } from "../../../src/pipeline/train.js";
import { auto_limits } from "../../../src/pipeline/trajectory/parity.js";
import { alone } from "../../../src/ranks/ranks.js";
import { metric } from "../../../src/reports/metrics.js";
import { readMetrics } from "../../../src/reports/metrics-file.js";
import { buildReport } from "../../../src/reports/report/report.js";
import { noRecord, openRunFolder, type RunRecord } from "../../../src/reports/run-folder.js";
import { EngineDouble, type DoubleOptions, sampling } from "./rollout/engine-double.js";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "sightloop-loop-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const samples: readonly Sample[] = Array.from({ length: 7 }, (_, i) => ({
  ...{ id: `s${i}`, question: `question ${i}`, answer: String(i), solution: `solution ${i}` },
  images: [],
}));
const indexed = { length: samples.length, get: (index: number) => samples[index]! };

/** Words are characters; nothing of a checkpoint is needed. */
const processor = {
  stop_token_ids: [1],
  renderPrompt: ({ question }: { question: string }) => question,
  encodePrompt: (text: string) => Int32Array.from(text, (letter) => letter.charCodeAt(0)),
  encode: (text: string) => Int32Array.from(text, (letter) => letter.charCodeAt(0)),
} as unknown as Processor;

interface Options {
  readonly kind?: "train" | "sft";
  readonly steps?: number;
  readonly folder?: string;
  readonly resume?: boolean;
  readonly source?: SampleSource;
  readonly splits?: readonly string[];
  readonly every?: number;
  readonly double?: DoubleOptions;
  readonly score?: Loop["score"];
  readonly accuracy?: (split: string, weight: number) => number;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: TrainEvent) => void;
}

/** A whole run around the engine double; returns what it said, and the weight it ended with. */
async function run(options: Options) {
  const { kind = "train", steps = 4, folder, every = 2, splits = ["validation"], source = indexed } = options;
  const double = new EngineDouble(options.double);
  const { engine } = double;
  await using record: RunRecord =
    folder === undefined
      ? noRecord
      : await openRunFolder({
          folder,
          config: {},
          manifest: {},
          resume: options.resume ?? false,
          keep: { last: 2, best: options.score === undefined ? 0 : 1 },
        });
  if (record.resumed !== undefined) await engine.loadState(join(record.resumed.folder, "state"));
  const stream = new PromptStream(source, { seed: 0, cursor: record.resumed?.cursor.data as StreamCursor | undefined });
  const known_images = new Map<string, string>();
  const scored = (split: string) => options.accuracy && { accuracy: options.accuracy(split, double.weight) };
  const loop: Omit<Loop, "step"> = {
    ...{ steps, ranks: alone, record, num_parameters: 1, num_trainable_parameters: 1, splits, command: "go on" },
    ...{ evaluate_every_steps: every, evaluate_before_training: true, checkpoint_every_steps: every },
    dataCursor: () => stream.cursor,
    health: healthMonitor(healthSchema.parse({}), await record.history()),
    score: options.score ?? (() => null),
    selects_on: "validation",
    checkpointBytes: async () => 1000,
    async *evaluate(split, stop) {
      stop.throwIfAborted();
      yield { done: 1, total: 1 };
      return {
        results: [{ setting: "greedy", weight: double.weight, ...scored(split) }],
        visual_gain: [],
        samples: [],
      } as never;
    },
    save: async (path) => {
      const { mkdir } = await import("node:fs/promises");
      for (const name of ["model", "state"]) await mkdir(join(path, name));
      await engine.saveModel(join(path, "model"));
      await engine.saveState(join(path, "state"));
    },
  };
  const common = {
    ...{ engine, ranks: alone, loop, num_items: samples.length, optimizer_steps_per_step: 1, max_consecutive_skips: 0 },
    draw: () => draw(engine, processor, stream, 3, { ranks: alone, max_prompt_tokens: 100, known_images }),
  };
  const signal = options.signal ?? new AbortController().signal;
  const events =
    kind === "sft"
      ? sft({ ...common, solutions: (drawn) => solutionTokens(processor, drawn, 20) }, signal)
      : train(
          {
            ...common,
            ...{ completions_per_prompt: 2, old_logprobs: "rollout", with_reference: false },
            ...{ dynamic_sampling: null, kl_reward_clamp: undefined },
            parity: (step) => ({
              ...{ limits: auto_limits.float32, gate: step === 1, report: step === 1, part: undefined },
            }),
            sampling: (step) => ({ ...sampling, step }),
            decode: (ids) => ids.join(" "),
            grade: (drawn) => async (prompt_id, completion) => {
              const reward = completion.includes(drawn.sample(prompt_id).answer) ? 1 : 0;
              return { reward, breakdown: { accuracy: reward } };
            },
          },
          signal,
        );
  const seen: TrainEvent[] = [];
  let error: unknown;
  try {
    for await (const event of events) {
      seen.push(event);
      options.onEvent?.(event);
    }
  } catch (thrown) {
    error = thrown;
  }
  return { seen, error, weight: double.weight, double };
}

const outline = (events: readonly TrainEvent[]): readonly string[] =>
  events
    .filter((event) => event.type !== "progress")
    .map((event) => `${event.type} ${"step" in event ? event.step : ""}`.trim());

/** Without what a clock or the memory says. */
const reproducible = async (folder: string) =>
  (await readMetrics(join(folder, "metrics.jsonl"))).map((line) =>
    Object.fromEntries(
      Object.entries(line).filter(
        ([name]) => ["type", "step", "split", "results"].includes(name) || metric(name).reproducible,
      ),
    ),
  );

describe.each(["train", "sft"] as const)("%s", (kind) => {
  test("lets go of images after every step, so that a long run does not grow", async () => {
    const { double } = await run({ kind, steps: 5 });
    expect(double.num_prunes).toBe(5);
  });

  test("resumed with fewer steps than it has: says so, keeps its model and learns nothing", async () => {
    const folder = join(root, "short");
    await run({ kind, folder });
    const { seen, double } = await run({ kind, folder, steps: 2, resume: true });
    expect(outline(seen)).toEqual(["started 4", "note", "done 4"]);
    expect(seen.at(-1)).toMatchObject({ model_path: join(folder, "checkpoints", "step-000004", "model") });
    expect(double.calls.filter((call) => call.startsWith("update"))).toEqual([]);
  });

  test("evaluates, steps and saves in order", async () => {
    const { seen, error } = await run({ kind, folder: join(root, "a") });
    expect(error).toBeUndefined();
    expect(outline(seen)).toEqual([
      "started 0",
      "evaluated 0",
      "step 1",
      "step 2",
      "evaluated 2",
      "checkpoint 2",
      "step 3",
      "step 4",
      "evaluated 4",
      "checkpoint 4",
      "done 4",
    ]);
    expect(seen.at(-1)).toMatchObject({ model_path: join(root, "a", "checkpoints", "step-000004", "model") });
  });

  test("every number it reports is defined in the table of metrics", async () => {
    const { seen } = await run({ kind });
    const steps = seen.filter((event) => event.type === "step");
    expect(steps).toHaveLength(4);
    for (const { metrics } of steps) for (const name of Object.keys(metrics)) expect(() => metric(name)).not.toThrow();
  });

  test("stopped and resumed, equals a run that was never stopped, bit for bit", async () => {
    const whole = await run({ kind, folder: join(root, "whole") });
    for (const after of [1, 2, 3]) {
      const folder = join(root, `stopped-${after}`);
      const controller = new AbortController();
      const first = await run({
        ...{ kind, folder, signal: controller.signal },
        onEvent: (event) => (event.type === "step" && event.step === after ? controller.abort() : undefined),
      });
      expect(first.error).toMatchObject({ code: "INTERRUPTED" });
      const second = await run({ kind, folder, resume: true });
      expect(second.error).toBeUndefined();
      expect(second.weight).toBe(whole.weight);
      const epochs = (await reproducible(folder)).filter((line) => "epoch_accuracy" in line);
      expect(epochs.map(({ step }) => step)).toEqual(kind === "sft" ? [] : [3]); // 3 prompts of 7 a step
      expect(await reproducible(folder)).toEqual(await reproducible(join(root, "whole")));
    }
  });
});

test("a number that is not in the table is not written", async () => {
  const folder = join(root, "unknown");
  const { error } = await run({ folder, double: { stats: { nobody_described_me: 1 } } });
  expect(String(error)).toContain('metric "nobody_described_me" is missing');
  expect(await reproducible(folder)).toEqual([expect.objectContaining({ type: "evaluated", step: 0 })]);
});

describe("an interrupt", () => {
  test("while sampling drops that step; a checkpoint of the one before follows", async () => {
    const folder = join(root, "a");
    const controller = new AbortController();
    let num_rollouts = 0;
    const { seen, error, double } = await run({
      ...{ folder, every: 0, splits: [], signal: controller.signal },
      double: { onCompletion: (index) => (index === 2 && ++num_rollouts === 3 ? controller.abort() : undefined) },
    });
    expect(outline(seen)).toEqual(["started 0", "step 1", "step 2", "checkpoint 2"]);
    expect(error).toMatchObject({
      code: "INTERRUPTED",
      message: "interrupted after step 2 of 4",
      hint: "Go on with: go on",
    });
    expect(double.optimizer_step).toBe(2);
    const cursor = JSON.parse(
      await readFile(join(folder, "checkpoints", "step-000002", "cursor.json"), "utf8"),
    ) as object;
    expect(cursor).toMatchObject({ step: 2, data: { drawn: 6 } });
  });

  test("while learning finishes that step", async () => {
    const controller = new AbortController();
    const { seen, double } = await run({
      ...{ folder: join(root, "a"), every: 0, splits: [], signal: controller.signal },
      onEvent: (event) => (event.type === "progress" && event.phase === "update" ? controller.abort() : undefined),
    });
    expect(outline(seen)).toEqual(["started 0", "step 1", "checkpoint 1"]);
    expect(double.optimizer_step).toBe(1);
  });

  test("before anything was learned can be resumed too", async () => {
    const folder = join(root, "a");
    const { error } = await run({ folder, signal: AbortSignal.abort() });
    expect(error).toMatchObject({ code: "INTERRUPTED" });
    const { seen } = await run({ folder, resume: true });
    expect(outline(seen).slice(0, 3)).toEqual(["started 0", "evaluated 0", "step 1"]);
  });

  test("a failure that is not the interrupt is told as it is", async () => {
    const { error } = await run({ kind: "sft", source: [] });
    expect(error).toMatchObject({ code: "DATASET_INVALID" });
  });
});

test("the end names the test results of the last and the selected step, those before a resume too", async () => {
  const folder = join(root, "selected");
  const options = {
    ...{ folder, every: 1, splits: ["validation", "test", "out_pairs"] },
    score: (split: string, results: readonly { readonly accuracy: number }[]) =>
      split === "validation" ? results[0]!.accuracy : null,
    // Validation falls with every step, so that the first checkpoint is the best.
    accuracy: (split: string, weight: number) => ({ validation: 1 / weight, test: weight })[split] ?? 0.5,
  };
  const controller = new AbortController();
  const onEvent = (event: TrainEvent) => (event.type === "step" && event.step === 2 ? controller.abort() : undefined);
  const first = await run({ ...options, signal: controller.signal, onEvent });
  expect(first.error).toMatchObject({ code: "INTERRUPTED" });
  const { seen } = await run({ ...options, resume: true });
  const tests = [...first.seen, ...seen].flatMap((event) =>
    event.type === "evaluated" && event.split === "test" ? [[event.step, event.results[0]!.accuracy] as const] : [],
  );
  const accuracy = new Map(tests);
  expect(seen.at(-1)).toMatchObject({
    ...{ type: "done", best: { step: 1 }, selected_on: "validation" },
    test_scores: [
      {
        ...{ split: "test", setting: "greedy", last: { step: 4, accuracy: accuracy.get(4) } },
        selected: { step: 1, accuracy: accuracy.get(1) },
      },
      { split: "out_pairs", last: { step: 4, accuracy: 0.5 }, selected: { step: 1, accuracy: 0.5 } },
    ],
  });
  const { tables } = await buildReport([folder]);
  const percent = (step: number): string => (100 * accuracy.get(step)!).toFixed(1);
  expect(tables.find(({ id }) => id === "selected")!.rows).toContainEqual([
    ...["selected", "test", "greedy", "1", "1", percent(4), percent(1)],
  ]);
});

describe("data", () => {
  test("that end early end the run, with its last evaluation and checkpoint", async () => {
    const { seen } = await run({ folder: join(root, "a"), source: samples.values(), every: 0 });
    expect(outline(seen)).toEqual([
      ...["started 0", "evaluated 0", "step 1", "step 2", "note", "evaluated 2", "checkpoint 2", "done 2"],
    ]);
  });

  test.each([
    ["without a solution", { solution: undefined }, "has no solution"],
    ["with a long one", { solution: "x".repeat(20) }, "over max_completion_tokens 20"],
  ])("a sample %s cannot be imitated", async (_, change, message) => {
    const source = { length: 1, get: () => ({ ...samples[0]!, ...change }) };
    const { error } = await run({ kind: "sft", source });
    expect(error).toMatchObject({ code: "DATASET_INVALID" });
    expect(String(error)).toContain(message);
  });
});

test("a run folder that cannot be written ends the run with a user's error", async () => {
  const folder = join(root, "a");
  const { error } = await run({
    folder,
    double: { onCompletion: () => writeFile(join(folder, "rollouts"), "in the way") },
  });
  expect(error).toMatchObject({ name: "UserError" });
  expect(String(error)).toContain("cannot be written");
});
