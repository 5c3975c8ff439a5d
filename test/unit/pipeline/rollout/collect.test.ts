import { setTimeout as sleep } from "node:timers/promises";
import type { RecordBatch } from "apache-arrow";
import { describe, expect, test } from "vitest";
import { flatValues } from "../../../../src/batches/columns.js";
import { promptBatch } from "../../../../src/batches/prompt.js";
import { UserError } from "../../../../src/errors.js";
import {
  collect,
  completionLengths,
  type Collected,
  type CollectOptions,
} from "../../../../src/pipeline/rollout/collect.js";
import { EngineDouble, type DoubleOptions, sampling } from "./engine-double.js";

const prompts = promptBatch(
  [5, 3, 8].map((prompt_id) => ({
    prompt_id,
    sample_id: `s${prompt_id}`,
    token_ids: Int32Array.of(1, 2),
    image_ids: [],
  })),
);
const total = 3 * 4;
const grade: CollectOptions["grade"] = async (prompt_id, completion) => ({
  reward: prompt_id + completion.length,
  breakdown: { length: completion.length },
});

async function run(
  options: DoubleOptions = {},
  more: Partial<CollectOptions> = {},
): Promise<Collected & { counts: number[]; calls: string[] }> {
  const double = new EngineDouble(options);
  const collecting = collect(double.engine, prompts, {
    ...{ completions_per_prompt: 4, sampling, grade },
    decode: (ids) => ids.join(" "),
    ...more,
  });
  const counts: number[] = [];
  for (;;) {
    const next = await collecting.next();
    if (next.done === true) return { ...next.value, counts, calls: double.calls };
    counts.push(next.value.done);
    expect(next.value.total).toBe(total);
  }
}

describe("collect", () => {
  test("returns rewards and texts in the batch's own order, and counts what is sampled", async () => {
    const { rollouts, rewards, completions, counts } = await run();
    expect(counts).toEqual(Array.from({ length: total }, (_, i) => i + 1));
    expect(rollouts.numRows).toBe(total);
    const lengths = completionLengths(rollouts);
    completions.forEach((text, row) => {
      expect(text.split(" ")).toHaveLength(lengths[row]!);
      expect(rewards.reward[row]).toBe([5, 3, 8][Math.floor(row / 4)]! + text.length);
      expect(rewards.breakdown["length"]![row]).toBe(text.length);
    });
  });

  test("neither the order of arrival nor the time a grade takes changes anything", async () => {
    const plain = await run();
    const reversed = await run({ arrival: (count) => Array.from({ length: count }, (_, i) => count - 1 - i) });
    const slow: CollectOptions["grade"] = async (prompt_id, completion, finished) => {
      await sleep((completion.length * 7) % 5);
      return grade(prompt_id, completion, finished);
    };
    const slowly = await run(
      { arrival: (count) => Array.from({ length: count }, (_, i) => (i * 5) % count) },
      { grade: slow },
    );
    for (const other of [reversed, slowly]) {
      expect(other.rewards).toEqual(plain.rewards);
      expect(other.completions).toEqual(plain.completions);
    }
  });

  test("grades while others are still being sampled", async () => {
    const log: string[] = [];
    await run(
      { onCompletion: async (index) => void (log.push(`sampled ${index}`), await sleep(1)) },
      { grade: async (...args) => (log.push("graded"), grade(...args)) },
    );
    expect(log.indexOf("graded")).toBeLessThan(log.indexOf(`sampled ${total - 1}`));
  });

  test("leaves masked completions out of the batch, of rewards and texts, and nothing else changes", async () => {
    const plain = await run();
    const masks = (prompt_id: number, completion: string): boolean => prompt_id === 8 || completion.includes("7");
    const masked = await run(
      {},
      { grade: async (...args) => ({ ...(await grade(...args)), masked: masks(args[0], args[1]) }) },
    );
    const ids = [...flatValues<BigInt64Array>(plain.rollouts, "prompt_id")].map(Number);
    const kept = ids.flatMap((id, row) => (masks(id, plain.completions[row]!) ? [] : [row]));
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.length).toBeLessThan(8);
    expect(masked.grades).toHaveLength(total);
    expect(masked.completions).toEqual(kept.map((row) => plain.completions[row]));
    expect([...masked.rewards.reward]).toEqual(kept.map((row) => plain.rewards.reward[row]));
    const rows = (batch: RecordBatch) => batch.toArray().map((row) => String(row));
    expect(rows(masked.rollouts)).toEqual(kept.map((row) => rows(plain.rollouts)[row]));
    expect(masked.rollouts.schema.toString()).toBe(plain.rollouts.schema.toString());
  });

  test("a failing reward stops the sampling with its own error", async () => {
    const sampled: number[] = [];
    const failing = run(
      { onCompletion: async (index) => void (sampled.push(index), await sleep(1)) },
      { grade: async () => Promise.reject(new UserError("REWARD_FAILED", "no", "hint")) },
    );
    await expect(failing).rejects.toMatchObject({ code: "REWARD_FAILED" });
    expect(sampled.length).toBeLessThan(total);
  });

  test("an abort while sampling rejects with its reason and closes the session", async () => {
    const controller = new AbortController();
    const double = new EngineDouble({ onCompletion: (index) => (index === 3 ? controller.abort("stop") : undefined) });
    const collecting = collect(double.engine, prompts, {
      ...{ completions_per_prompt: 4, sampling, grade, signal: controller.signal },
      decode: () => "",
    });
    await expect(
      (async () => {
        for await (const _ of collecting);
      })(),
    ).rejects.toBe("stop");
    expect(double.calls).toContain("session closed");
  });
});
