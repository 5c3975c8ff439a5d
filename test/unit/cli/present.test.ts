import { describe, expect, test, vi } from "vitest";
import { demoReport, gainSentence } from "../../../src/cli/demo-report.js";
import { dryRunText } from "../../../src/cli/dry-run.js";
import { duration, gib, table } from "../../../src/cli/format.js";
import { textPrinter } from "../../../src/cli/generate.js";
import { line, presenter } from "../../../src/cli/present.js";
import { timestamp } from "../../../src/cli/run-training.js";
import { batchArithmetic } from "../../../src/config/arithmetic.js";
import { plan_phases } from "../../../src/config/memory-plan.js";
import type { EvaluationResult } from "../../../src/evaluate/result.js";
import type { TrainEvent } from "../../../src/pipeline/events.js";
import { formatMetric } from "../../../src/reports/format-metric.js";
import { metric, metrics } from "../../../src/reports/metrics.js";

const result = (setting: string, accuracy: number, mean_completion_length = 7.25): EvaluationResult => ({
  ...{ setting, control: "none", accuracy, mean_completion_length, num_items: 500, completions_per_prompt: 1 },
  ...{
    interval: [accuracy - 0.04, accuracy + 0.03],
    pass_at: { 1: accuracy },
    majority_at: { 1: accuracy },
    by_length: [],
    truncated: 0.01,
    correct: [1, 0],
  },
});

const alarm = (state: "raised" | "cleared", message: string): TrainEvent => ({
  ...{
    type: "alarm",
    step: 9,
    name: "entropy_collapse",
    state,
    first_step: 9,
    metric: "entropy",
    value: 0,
    limit: 0.01,
  },
  ...{ on_alarm: "warn", message, meaning: "the end.", remedy: "go back." },
});

const events: [TrainEvent, string | undefined][] = [
  [
    {
      type: "started",
      step: 0,
      steps: 150,
      num_parameters: 842240,
      num_trainable_parameters: 842240,
      run_folder: "runs/a",
    },
    "150 steps, 842,240 of 842,240 parameters trained, everything goes to runs/a",
  ],
  [
    {
      type: "started",
      step: 10,
      steps: 150,
      num_parameters: 842240,
      num_trainable_parameters: 600000,
      run_folder: null,
    },
    "resumed after step 10 of 150, 600,000 of 842,240 parameters trained",
  ],
  [{ type: "progress", step: 1, phase: "rollout", done: 3, total: 8, unit: "completions" }, undefined],
  [
    {
      type: "step",
      step: 3,
      steps: 150,
      metrics: {
        ...{
          loss: -0.00852,
          reward_mean: 0.532,
          "reward.accuracy": 0.532,
          completion_length_mean: 13.25,
          truncated: 0.5,
        },
        ...{ kl_reference: 8.5e-5, entropy: 1.42, grad_norm: 0.065, step_seconds: 1.234, rss_bytes: 1 },
      },
    },
    "step 3/150  loss -0.00852  reward 0.532  accuracy 53.2 %  length 13.3 tokens  truncated 50.0 %  " +
      "KL 8.50e-5 nats/token  entropy 1.42 nats/token  grad norm 0.0650  time 1.23 s",
  ],
  [
    {
      type: "evaluated",
      step: 20,
      split: "validation",
      results: [{ ...result("t1", 0.5), pass_at: { 1: 0.5, 8: 0.75 } }],
    },
    "validation at step 20  t1: accuracy 50.0 % (95 % interval 46.0 % to 53.0 %, 500 items)  pass@8 75.0 %  length 7.3 tokens  truncated 1.0 %",
  ],
  [{ type: "checkpoint", step: 20, path: "runs/a/checkpoints/step-000020" }, "saved runs/a/checkpoints/step-000020"],
  [
    alarm("raised", "entropy was at or below 0.0100 nats/token in step 9: 0.00100 nats/token"),
    "ALARM entropy_collapse: entropy was at or below 0.0100 nats/token in step 9: 0.00100 nats/token\n" +
      "  usually: the end.\n  to do: go back.",
  ],
  [
    alarm("cleared", "entropy was no longer at or below 0.0100 nats/token in step 9: 0.5 nats/token"),
    "alarm over: entropy_collapse: entropy was no longer at or below 0.0100 nats/token in step 9: 0.5 nats/token",
  ],
  [{ type: "note", message: "the data ended" }, "note: the data ended"],
  [
    {
      type: "done",
      step: 9,
      run_folder: "r",
      model_path: "r/9",
      adapter_path: null,
      best: { step: 6, score: 0.75, model_path: "r/6" },
    },
    "done after 9 steps; the model is r/9\nbest: step 6 (75.0 %), r/6",
  ],
  [
    {
      ...{ type: "done", step: 9, run_folder: "r", model_path: "r/9", adapter_path: null, selected_on: "validation" },
      best: { step: 6, score: 0.75, model_path: "r/6" },
      test_scores: [
        {
          ...{ split: "test", setting: "t1", last: { step: 9, accuracy: 0.773 } },
          selected: { step: 6, accuracy: 0.781 },
        },
        { split: "out", setting: "t1", last: { step: 9, accuracy: 0.5 } },
      ],
    },
    "done after 9 steps; the model is r/9\nbest: step 6 (75.0 %), r/6\n" +
      "test, t1: accuracy 77.3 % at the last step 9, 78.1 % at the selected step 6 (chosen on validation)\n" +
      "out, t1: accuracy 50.0 % at the last step 9",
  ],
  [
    {
      type: "done",
      step: 150,
      run_folder: "runs/a",
      model_path: "runs/a/checkpoints/step-000150/model",
      adapter_path: null,
    },
    "done after 150 steps; the model is runs/a/checkpoints/step-000150/model",
  ],
  [{ type: "done", step: 2, run_folder: null, model_path: null, adapter_path: null }, "done after 2 steps"],
  [
    { type: "done", step: 3, run_folder: "b", model_path: null, adapter_path: "b/adapter" },
    "done after 3 steps; the adapter is b/adapter",
  ],
];

describe("lines", () => {
  test.each(events)("%j", (event, expected) => {
    expect(line(event)).toBe(expected);
  });

  test("steps that come too fast to read are left out, and every run counts its own time", () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    const print = vi.spyOn(console, "log").mockImplementation(() => {});
    const present = presenter({ json: false });
    for (const seconds of [1, 10]) {
      present({ type: "started", step: 0, steps: 9, num_parameters: 1, num_trainable_parameters: 1, run_folder: null });
      for (let step = 1; step <= 9; step++) {
        vi.advanceTimersByTime(seconds * 100);
        present({ type: "step", step, steps: 9, metrics: {} });
      }
    }
    const printed = print.mock.calls.map(([text]) => String(text)).filter((text) => text.startsWith("step"));
    print.mockRestore();
    vi.useRealTimers();
    expect(printed.map((text) => /step (\d)/.exec(text)![1]).join("")).toBe("1239" + "123579");
    expect(printed[0]).toContain("ETA 0:01");
    expect(printed[4]).toContain("ETA 0:08");
  });

  test("JSON events are one object a line, without the items' list", () => {
    const print = vi.spyOn(console, "log").mockImplementation(() => {});
    const present = presenter({ json: true });
    for (const [event] of events) present(event);
    const printed = print.mock.calls.map(([text]) => JSON.parse(String(text)) as { type: string });
    print.mockRestore();
    expect(printed.map(({ type }) => type)).toEqual(events.map(([event]) => event.type));
    expect(JSON.stringify(printed)).not.toContain("correct");
  });
});

describe("numbers", () => {
  test.each([
    ["truncated", 0.125, "12.5 %"],
    ["rss_bytes", 1.5 * 2 ** 30, "1.50 GiB"],
    ["kl_reference", 0.00125, "0.00125 nats/token"],
    ["learning_rate", 1e-6, "1.00e-6"],
    ["completion_tokens", 4576, "4576 tokens"],
    ["reward.think_format", 0.25, "0.250"],
  ])("%s %d is %s", (name, value, expected) => {
    expect(formatMetric(name, value)).toBe(expected);
  });

  test("an undefined metric is a bug", () => {
    expect(() => metric("los")).toThrow("src/reports/metrics.ts");
    for (const { unit, formula } of metrics.values())
      expect([unit, formula].every((text) => text.length > 0)).toBe(true);
  });

  test.each([
    [0, "0:00"],
    [83.4, "1:23"],
    [3723, "1:02:03"],
  ])("%d s is %s", (seconds, expected) => {
    expect(duration(seconds)).toBe(expected);
  });

  test.each([
    [2 ** 30, "1.00 GiB"],
    [3369000, "0.0031 GiB"],
  ])("%d B is %s", (bytes, expected) => {
    expect(gib(bytes)).toBe(expected);
  });

  test("a time in a file name sorts", () => {
    expect(timestamp(new Date(2025, 0, 2, 3, 4, 5))).toBe("20250102-030405");
  });

  test("a table lines its columns up", () => {
    expect(table(["a", "bb"], [["long", "1"]])).toBe(["a     bb", "----  --", "long   1"].join("\n"));
  });
});

describe("the demo's report", () => {
  const results = {
    random: [result("greedy", 0), result("t1", 0.02)],
    sft: [result("greedy", 0.226), result("t1", 0.33), result("worked", 0.752)],
    rl: [result("greedy", 0.83, 15), result("t1", 0.77), result("worked", 0.83)],
  };

  test("splits the gain into working style and the rest", () => {
    expect(gainSentence(results)).toBe(
      "RL gained 60.4 points of greedy accuracy: 52.6 points by choosing to work the answer out (working style), 7.8 points by " +
        'better perception or arithmetic (with "<think>" forced, the warm start already reaches 75.2 % and RL 83.0 %).',
    );
  });

  test("says so where nothing was gained", () => {
    expect(gainSentence({ ...results, rl: results.sft })).toContain("RL changed greedy accuracy by 0.0 points");
  });

  test("has a row for each model and setting, and the paths", () => {
    const report = demoReport(results, {
      folder: "runs/demo",
      sft_model: "runs/demo/sft/m",
      rl_model: "runs/demo/rl/m",
      seconds: 185,
    });
    expect(report.match(/^(random weights|after SFT|after RL), .* 500 .* tokens$/gm)).toHaveLength(8);
    expect(report).toContain("Written in 3:05");
    expect(report).toContain("runs/demo/rl/m");
  });
});

test("streamed text is written once, and half a character waits", () => {
  const written: string[] = [];
  const printer = textPrinter((text) => written.push(text));
  printer.show("a", false);
  printer.show("a\uFFFD", false);
  printer.show("a\u00e9", false);
  printer.show("a\u00e9b\uFFFD", true);
  expect(written).toEqual(["a", "\u00e9", "b\uFFFD"]);
});

test("a dry run shows values with origins, the batch keys and the memory", () => {
  const keys = {
    prompts_per_step: 4,
    completions_per_prompt: 2,
    completions_per_update: 4,
    tokens_per_microbatch: 100,
  };
  const text = dryRunText({
    config: { seed: 1, optimizer: { learning_rate: 1e-5 } },
    origins: new Map([["optimizer.learning_rate", "run.yaml:3"]]),
    arithmetic: batchArithmetic({ ...keys, steps: 10 }, 20),
    num_items: 20,
    memory: {
      ...{ num_parameters: 10, num_trainable_parameters: 5, peak_bytes: 2 ** 31, peak_phase: "update" as const },
      host_bytes: 0,
      parts: [{ name: "weights", bytes: 2 ** 30, how: "10 parameters x 4 B", held_in: plan_phases }],
    },
  });
  for (const expected of [
    "seed                     1      default",
    "optimizer.learning_rate  0.00001  run.yaml:3",
    "prompts_per_step 4 x completions_per_prompt 2 = 8 completions a step",
    "/ completions_per_update 4 = 2 optimizer steps a step",
    "10 steps = 20 optimizer steps, 80 completions, 2.00 epochs of 20 samples",
    "weights         1.00 GiB always",
    "predicted peak  2.00 GiB update",
  ])
    expect(text.replace(/ +/g, " ")).toContain(expected.replace(/ +/g, " "));
});
