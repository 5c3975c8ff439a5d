import { beforeAll, describe, expect, test } from "vitest";
import type { BenchResult, Phase } from "../../src/bench/result.js";
import type { SweepPoint } from "../../src/bench/sweep.js";
import { sightloop, workspace } from "./support.js";

const place = workspace();
const sizes = ["--prompts", "3", "--completions", "2", "--new-tokens", "5", "--image", "56", "--threads", "1"];

describe("bench", () => {
  let result: BenchResult;
  let output: Record<string, unknown>;
  beforeAll(async () => {
    const args = [
      "--model",
      place.model,
      "--images-per-prompt",
      "2",
      "--prompt-tokens",
      "40",
      "--steps",
      "3",
      "--json",
    ];
    const { code, stdout, stderr } = await sightloop(["bench", ...sizes, ...args]);
    expect(code, stderr).toBe(0);
    output = JSON.parse(stdout) as Record<string, unknown>;
    result = output["result"] as BenchResult;
  });
  const phase = (name: string): Phase => result.phases.find((one) => one.name === name)!;

  test("says what was measured, where, and how to measure it again", () => {
    expect(output).toMatchObject({ seed: 0, model: place.model, libtorch: expect.stringMatching(/^2\./) as string });
    expect(output["command"]).toContain("--prompt-tokens 40");
    expect(output["machine"]).toMatchObject({ cores: expect.any(Number) as number });
  });

  test("counts the tokens that were asked for", () => {
    // 56 x 56 pixels = 2 x 2 image tokens; prompts of 40 tokens hold two images
    expect(result).toMatchObject({ prompt_tokens: 40, image_tokens: 8, threads: 1 });
    expect(phase("step").tokens).toEqual({ prompt: 3 * 32, image: 3 * 8, completion: 3 * 2 * 5 });
    expect(phase("decode").tokens).toEqual({ prompt: 0, image: 0, completion: 30 });
  });

  test("parts of a step take no longer than the step, and nothing takes no time", () => {
    expect(result.steps).toHaveLength(3);
    for (const step of result.steps) {
      for (const value of Object.values(step)) expect(value).toBeGreaterThan(0);
      expect(step.vision + step.prefill + step.decode + step.sampling).toBeLessThanOrEqual(step.rollout);
      expect(step.forward + step.backward + step.optimizer).toBeLessThanOrEqual(step.update);
      expect(step.images + step.rollout + step.score + step.update).toBeLessThanOrEqual(step.step);
    }
  });

  test("rates, shares and limits agree with each other", () => {
    for (const name of ["rollout", "vision", "prefill", "decode", "score", "update", "step"]) {
      const { seconds, flops, flops_per_second, share_of_limit, limit_flops_per_second } = phase(name);
      expect(flops! / seconds.median).toBeCloseTo(flops_per_second!, 0);
      expect(share_of_limit! * limit_flops_per_second!).toBeCloseTo(flops_per_second!, 0);
      expect(limit_flops_per_second).toBeLessThan(1e14);
    }
    expect(phase("update").flops).toBeCloseTo(3 * phase("score").flops!, 0);
    expect(result.limits.read_bytes_per_second).toBeGreaterThan(1e8);
    expect(result.peak_rss_bytes).toBeGreaterThan(2 ** 26);
  });
});

test("a table for people, with every part trained and no reference", async () => {
  const args = ["bench", ...sizes, "--steps", "1", "--trainable", "all", "--no-reference"];
  const { code, stdout, stderr } = await sightloop(args);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^ {2}update +[\d.e-]+ \(/m);
  expect(stdout).not.toMatch(/^ {2}score /m);
  expect(stdout).toMatch(/peak resident memory [\d.]+ GiB/);
  expect(stderr).toContain("timing steps: 1 of 2");
});

test.each(["completions", "width"])(
  "a sweep over %s doubles it again and again",
  async (which) => {
    const { code, stdout, stderr } = await sightloop(["bench", ...sizes, "--steps", "1", "--sweep", which, "--json"]);
    expect(code, stderr).toBe(0);
    const { points } = JSON.parse(stdout) as { points: SweepPoint[] };
    expect(points.map(({ value }) => value / points[0]!.value)).toEqual(which === "width" ? [1, 2, 4] : [1, 2, 4, 8]);
    for (const { flops_exponent } of points.slice(1)) {
      expect(flops_exponent).toBeGreaterThan(which === "width" ? 1 : 0);
      expect(flops_exponent).toBeLessThan(which === "width" ? 2.01 : 1.01);
    }
  },
  300_000,
);

test.each([
  [["--completions", "0"], "--completions must be a whole number from 1 on"],
  [["--model", "nowhere"], "the model folder nowhere does not exist"],
  [["--prompt-tokens", "3"], "a prompt of 3 tokens is too short"],
  [["--sweep", "width", "--model", "m"], "--sweep width makes models of its own"],
  [["--new-tokens", "5000"], "exceed max_position_embeddings"],
])("%j is a mistake that is explained", async (args, message) => {
  const { code, stderr } = await sightloop(["bench", ...args]);
  expect(code).toBe(2);
  expect(stderr).toContain(message);
  expect(stderr).toContain("hint: ");
  expect(stderr).not.toContain("    at ");
});
