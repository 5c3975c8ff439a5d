import { describe, expect, test } from "vitest";
import { parseConfig } from "../../../src/config/load.js";
import { trainConfigSchema } from "../../../src/config/schema.js";

const base = `
steps: 10
model: { path: m }
datasets:
  train: { name: fashion_grid, count: 100 }
  validation: { name: fashion_grid, split: validation, count: 10 }
prompts_per_step: 4
completions_per_prompt: 2
completions_per_update: 8
algorithm: { name: grpo }
optimizer: { learning_rate: 1e-5 }
rewards: [{ name: accuracy }]
evaluate:
  every_steps: 2
  settings: [{ name: greedy }, { name: t1, temperature: 1, completions_per_prompt: 6 }]
`;
const parse = (text: string, set: readonly string[] = []) =>
  parseConfig(trainConfigSchema, { text: base + text, file: "run.yaml", set });

test("everything has a default", () => {
  const { health, parity, checkpoint } = parse("").config;
  expect(health.non_finite).toBe("stop");
  expect(health.alarms.entropy_collapse).toEqual({ limit: 0.01, steps: 5, on_alarm: "warn" });
  expect(parity).toEqual({ every_steps: 10, prompts: 4, max: "auto", p99: "auto", kl: "auto", ess: "auto" });
  expect(checkpoint).toMatchObject({ keep_last: 2, keep_best: 0 });
});

test("one value of one alarm is changed, the others stay", () => {
  const { alarms } = parse("", ["health.alarms.repetition.on_alarm=stop"]).config.health;
  expect(alarms.repetition).toEqual({ limit: 0.5, steps: 3, on_alarm: "stop" });
});

describe("refused, with the line", () => {
  test.each([
    ["health: { alarm: {} }", /run\.yaml:16: health\.alarm: unknown key; did you mean "alarms"\?/],
    ["health: { alarms: { entropy: {} } }", /health\.alarms\.entropy: unknown key/],
    ["health: { alarms: { repetition: { on_alarm: off } } }", /on_alarm.*"warn"\|"stop"\|"ignore"/],
    ["health: { non_finite: ignore }", /non_finite.*"stop"\|"skip"/],
    ["health: { max_consecutive_skips: 0 }", /max_consecutive_skips/],
    ["parity: { max: 0 }", /parity\.max/],
    ["parity: { every_steps: -1 }", /parity\.every_steps/],
    ["checkpoint: { keep_best: 1 }", /keep_best: needs an evaluation at every checkpoint/],
    ["checkpoint: { keep_best: 1, every_steps: 3 }", /must be a multiple of evaluate\.every_steps \(2\)/],
    ["checkpoint: { keep_best: 1, every_steps: 4, best_by: { split: test } }", /best_by\.split: is not evaluated/],
    [
      "checkpoint: { keep_best: 1, every_steps: 4, best_by: { setting: t2 } }",
      /is none of evaluate\.settings: greedy, t1/,
    ],
    ["checkpoint: { keep_best: 1, every_steps: 4, best_by: { metric: loss } }", /accuracy or pass@k/],
    [
      "checkpoint: { keep_best: 1, every_steps: 4, best_by: { setting: t1, metric: pass@3 } }",
      /not computed with 6 completions/,
    ],
  ])("%s", (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });

  test.each(["accuracy", "pass@1", "pass@4", "pass@6"])("%s of 6 completions is there", (metric) => {
    const best_by = `{ setting: t1, metric: ${metric} }`;
    expect(() => parse(`checkpoint: { keep_best: 1, every_steps: 4, best_by: ${best_by} }`)).not.toThrow();
  });
});
