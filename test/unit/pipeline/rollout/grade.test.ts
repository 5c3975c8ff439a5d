import { describe, expect, test } from "vitest";
import { type Grade, summarizeGrades } from "../../../../src/pipeline/rollout/grade.js";
import { metric } from "../../../../src/reports/metrics.js";

const of = (accuracy: "ok" | "timeout" | "error", masked = false): Grade => ({
  ...{ reward: 0, breakdown: { accuracy: 0, "my.judge": 0 }, masked },
  outcomes: {
    accuracy: { status: accuracy, ...(accuracy !== "ok" && { message: `gave ${accuracy}` }) },
    "my.judge": { status: "ok" },
  },
});

describe("summarizeGrades", () => {
  test("counts ok, timeout and error of each reward apart; every name is a metric", () => {
    const { metrics, failures } = summarizeGrades([of("ok"), of("timeout"), of("error", true), of("ok")]);
    expect(metrics).toEqual({
      ...{ "reward_ok.accuracy": 0.5, "reward_timeout.accuracy": 0.25, "reward_error.accuracy": 0.25 },
      ...{ "reward_ok.my.judge": 1, "reward_timeout.my.judge": 0, "reward_error.my.judge": 0 },
      masked_completions: 1,
    });
    for (const name of Object.keys(metrics)) expect(metric(name).formula).toMatch(/completions/);
    expect(failures).toEqual([
      'reward "accuracy" failed for 2 of 4 completions (1 timeouts, 1 errors); the first: it gave timeout',
    ]);
  });

  test("says nothing where all is well", () => {
    expect(summarizeGrades([of("ok")]).failures).toEqual([]);
    expect(summarizeGrades([{ reward: 1, breakdown: {} }])).toEqual({
      metrics: { masked_completions: 0 },
      failures: [],
    });
  });

  test.each([
    ["a reward that fails every time", [of("error"), of("timeout")], /failed for 2 of 2/],
    ["nothing left", [of("ok", true), of("error", true)], /every completion of the step is masked/],
  ])("%s ends the run", (_, grades, message) => {
    expect(() => summarizeGrades(grades)).toThrow(
      expect.objectContaining({ code: "REWARD_FAILED", message: expect.stringMatching(message) as string }),
    );
  });
});
