import { describe, expect, test } from "vitest";
import { evaluateModel } from "../../../src/cli/evaluate-model.js";
import { numberCheck, whole } from "../../../src/cli/numbers.js";

const given = {
  ...{
    model: "m",
    dataset: "{name: fashion_grid, count: 1}",
    setting: ["greedy"],
    "system-prompt": undefined,
    adapter: undefined,
    protocol: undefined,
    controls: undefined,
    output: undefined,
  },
  ...{ "max-items": undefined, "max-completion-tokens": 8, "max-prompt-tokens": 8, "max-concurrent-completions": 1 },
  ...{ seed: 0, threads: 0, json: false, dtype: "float32" as const, deterministic: "run" as const },
  device: "auto" as const,
};

describe("a number option", () => {
  test.each([
    ["max-items", 0],
    ["max-completion-tokens", Number.NaN],
    ["max-concurrent-completions", 1.5],
    ["seed", -1],
  ])("evaluate refuses --%s %s before anything is opened", async (option, value) => {
    await expect(evaluateModel({ ...given, [option]: value })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(`^--${option} must be a whole number from \\d on$`) as string,
      hint: "sightloop evaluate --help",
    });
  });

  test("that is not given passes", () => {
    numberCheck("demo", { steps: undefined })("steps", ...whole(1));
    expect(() => numberCheck("demo", { steps: 0 })("steps", ...whole(1))).toThrow("from 1 on");
  });
});
