import { describe, expect, test } from "vitest";
import { columnData, listValues, strings } from "../../../../src/batches/columns.js";
import { promptBatch } from "../../../../src/batches/prompt.js";
import type { Rewards } from "../../../../src/engine/engine.js";
import { metric } from "../../../../src/reports/metrics.js";
import { assemble, somePrompts } from "../../../../src/pipeline/trajectory/assemble.js";
import { auto_limits, rolloutMismatch } from "../../../../src/pipeline/trajectory/parity.js";
import { measureTrajectories } from "../../../../src/pipeline/trajectory/measure.js";
import { supervisedTrajectories } from "../../../../src/pipeline/trajectory/supervised.js";
import { EngineDouble, sampling } from "../rollout/engine-double.js";

const prompts = promptBatch(
  [0, 1].map((prompt_id) => ({
    prompt_id,
    sample_id: `s${prompt_id}`,
    token_ids: Int32Array.of(7, 8, 9),
    image_ids: [],
  })),
);
const rewards: Rewards = {
  reward: Float32Array.of(1, 1, 0, 1),
  breakdown: { accuracy: Float32Array.of(1, 1, 0, 1) },
};

async function rollOut(double: EngineDouble) {
  await using session = double.rollout(sampling);
  await session.add(prompts, 2);
  return session.finish();
}

const parity = { limits: auto_limits.float32, gate: false, report: false, part: undefined };
const plain = { temperature: 1, old_logprobs: "rollout", with_reference: false, parity } as const;
const verified = (dtype: "float32" | "bfloat16" = "float32") => ({
  ...plain,
  parity: { ...parity, limits: auto_limits[dtype], gate: true, report: true },
});

describe("assemble", () => {
  test.each([
    ["nothing more than needed", plain, ["advantages"]],
    ["the first step checks the sampler, and still uses its log-probs", verified(), ["score policy", "advantages"]],
    ["recomputed log-probs are used", { ...plain, old_logprobs: "recompute" }, ["score policy", "advantages policy"]],
    [
      "a KL coefficient needs the reference",
      { ...plain, with_reference: true },
      ["score reference", "advantages reference"],
    ],
  ] as const)("%s", async (_, options, calls) => {
    const double = new EngineDouble();
    const rollouts = await rollOut(double);
    double.calls.length = 0;
    const { mismatch } = await assemble(double.engine, rollouts, rewards, options);
    expect(double.calls).toEqual(calls);
    expect(Object.keys(mismatch).length > 0).toBe(calls.some((call) => call === "score policy"));
  });

  test.each([
    ["float32", 5e-5, undefined],
    ["float32", 2e-4, "ROLLOUT_MISMATCH"],
    ["float32", Number.NaN, "ROLLOUT_MISMATCH"],
    ["bfloat16", 0.03, undefined],
    ["bfloat16", 0.06, "ROLLOUT_MISMATCH"],
    ["bfloat16", Number.NaN, "ROLLOUT_MISMATCH"],
  ] as const)("in %s, a difference of %f nats in the first step", async (dtype, score_error, code) => {
    const double = new EngineDouble({ dtype, score_error });
    const work = assemble(double.engine, await rollOut(double), rewards, verified(dtype));
    if (code === undefined) expect((await work).mismatch.rollout_mismatch_max).toBeCloseTo(score_error, 6);
    else await expect(work).rejects.toMatchObject({ code });
  });

  test("a part is some prompts with all their completions, round and round; its numbers are theirs", async () => {
    const double = new EngineDouble({ score_error: 0.25 });
    const rollouts = await rollOut(double);
    for (const [first, expected] of [
      [0, [0n, 0n]],
      [1, [1n, 1n]],
      [3, [1n, 1n]],
    ] as const) {
      const part = somePrompts(rollouts, { first, prompts: 1 });
      expect([...part.getChild("prompt_id")!]).toEqual(expected);
      const scores = await double.score(somePrompts(rollouts, { first, prompts: 1 }), "policy");
      expect(rolloutMismatch(part, scores).rollout_mismatch_mean).toBeCloseTo(0.25, 6);
    }
    expect(somePrompts(rollouts, { first: 0, prompts: 9 }).numRows).toBe(4);
  });

  test("a gate that is not reported leaves no numbers, and still fails", async () => {
    const gate = { ...plain, parity: { ...parity, gate: true, part: { first: 1, prompts: 1 } } };
    const good = new EngineDouble();
    expect((await assemble(good.engine, await rollOut(good), rewards, gate)).mismatch).toEqual({});
    const bad = new EngineDouble({ score_error: 1 });
    await expect(assemble(bad.engine, await rollOut(bad), rewards, gate)).rejects.toMatchObject({
      code: "ROLLOUT_MISMATCH",
    });
  });

  test("the mismatch looks at completion tokens only", async () => {
    const double = new EngineDouble();
    const rollouts = await rollOut(double);
    const scores = await double.score(rollouts, "policy");
    listValues<Float32Array>(scores, "logprobs").values[0] = 100; // a prompt token
    expect(rolloutMismatch(rollouts, scores).rollout_mismatch_max).toBe(0);
  });
});

describe("measureTrajectories", () => {
  test("gives every number that the table of metrics defines, and no other", async () => {
    const double = new EngineDouble();
    const { trajectories } = await assemble(double.engine, await rollOut(double), rewards, plain);
    const measured = measureTrajectories(trajectories, rewards);
    for (const name of Object.keys(measured)) expect(() => metric(name)).not.toThrow();
    const lengths = [...listValues<Int32Array>(trajectories, "token_ids").offsets]
      .slice(1)
      .map((end, row, ends) => end - (ends[row - 1] ?? 0) - 3);
    expect(measured).toMatchObject({
      reward_mean: 0.75,
      "reward.accuracy": 0.75,
      equal_reward_groups: 0.5,
      prompt_length_mean: 3,
      completion_length_mean: lengths.reduce((a, b) => a + b) / 4,
      completion_length_max: Math.max(...lengths),
      completion_length_wrong: lengths[2],
      truncated: strings(trajectories, "finish_reason").filter((reason) => reason === "length").length / 4,
    });
    expect(measured["reward_std"]).toBeCloseTo(Math.sqrt(3) / 4, 6);
  });
});

describe("supervisedTrajectories", () => {
  test("appends each solution to its prompt, and the mask is true on it alone", () => {
    const batch = supervisedTrajectories(prompts, [[1, 2], [3]]);
    expect(listValues<Int32Array>(batch, "token_ids")).toMatchObject({
      offsets: Int32Array.of(0, 5, 9),
      values: Int32Array.of(7, 8, 9, 1, 2, 7, 8, 9, 3),
    });
    const mask = [...batch.getChild("completion_mask")!].map((row: Iterable<boolean>) => [...row]);
    expect(mask).toEqual([
      [false, false, false, true, true],
      [false, false, false, true],
    ]);
    expect(listValues<Float32Array>(batch, "advantages").values).toEqual(Float32Array.of(0, 0, 0, 1, 1, 0, 0, 0, 1));
    expect(columnData(batch, "prompt_id")).toBe(columnData(prompts, "prompt_id"));
  });

  test("refuses another number of solutions", () => {
    expect(() => supervisedTrajectories(prompts, [[1]])).toThrow("1 completions, 2 prompts");
  });
});
