import { describe, expect, test } from "vitest";
import { flatValues, listValues, strings } from "../../../src/batches/columns.js";
import { promptBatch } from "../../../src/batches/prompt.js";
import type { Drawn } from "../../../src/pipeline/draw.js";
import { countedFrom, replaceEqualGroups, type Round } from "../../../src/pipeline/dynamic-sampling.js";
import type { Metrics, TrainEvent } from "../../../src/pipeline/events.js";
import { collect, type Collected } from "../../../src/pipeline/rollout/collect.js";
import { EngineDouble, sampling } from "./rollout/engine-double.js";

const completions_per_prompt = 2;

/** Prompts of a stream from `from`; the prompts in `equal` get one reward for all their completions. */
class Stream {
  position = 0;
  readonly counts: number[] = [];
  readonly equal: (prompt_id: number) => boolean;
  readonly length: number;
  constructor(equal: (prompt_id: number) => boolean, length = Infinity) {
    this.equal = equal;
    this.length = length;
  }

  async draw(count: number): Promise<Drawn | undefined> {
    if (this.position + count > this.length) return undefined;
    this.counts.push(count);
    const ids = Array.from({ length: count }, (_, i) => this.position + i);
    this.position += count;
    return {
      prompts: promptBatch(
        ids.map((prompt_id) => ({
          ...{ prompt_id, sample_id: `s${prompt_id}`, token_ids: Int32Array.of(1, prompt_id) },
          image_ids: [`image${prompt_id}`],
        })),
      ),
      samples: ids.map((prompt_id) => ({
        prompt_id,
        sample: { id: `s${prompt_id}`, question: "", answer: `${prompt_id}`, images: [] },
      })),
      rankOf: () => 0,
      stream_end: this.position,
      sample: (id) => ({ id: `s${id}`, question: "", answer: `${id}`, images: [] }),
      promptText: (id) => `prompt ${id}`,
      images: ids.map((id) => ({ id: `image${id}`, read: async () => new Uint8Array() })),
    };
  }

  async *sample(drawn: Drawn, unit: string, before: number): AsyncGenerator<TrainEvent, Collected> {
    const { engine } = new EngineDouble();
    const grades = new Map<number, number>();
    const collecting = collect(engine, drawn.prompts, {
      ...{ completions_per_prompt, sampling, decode: (ids: Int32Array) => ids.join(" ") },
      grade: async (prompt_id) => {
        const seen = grades.get(prompt_id) ?? 0;
        grades.set(prompt_id, seen + 1);
        const reward = this.equal(prompt_id) ? 1 : seen;
        return { reward, breakdown: { accuracy: reward, id: prompt_id } };
      },
    });
    const counted = countedFrom(before, collecting);
    for (;;) {
      const next = await counted.next();
      if (next.done === true) return next.value;
      yield { type: "progress", step: 1, phase: "rollout", unit, ...next.value };
    }
  }
}

async function run(stream: Stream, prompts_per_step: number, max_prompts: number) {
  const events: TrainEvent[] = [];
  const drain = async <T>(work: AsyncGenerator<TrainEvent, T>): Promise<T> => {
    for (;;) {
      const next = await work.next();
      if (next.done === true) return next.value;
      events.push(next.value);
    }
  };
  const drawn = (await stream.draw(prompts_per_step))!;
  const first: Round = { drawn, collected: await drain(stream.sample(drawn, "completions", 0)) };
  const result = await drain<Round & { metrics: Metrics }>(
    replaceEqualGroups(first, {
      ...{ step: 1, prompts_per_step, max_prompts },
      draw: (count) => stream.draw(count),
      sample: (one, unit, before) => stream.sample(one, unit, before),
    }),
  );
  return { ...result, events };
}

const idsOf = ({ drawn }: Round): number[] => drawn.samples.map(({ prompt_id }) => prompt_id);

describe("replaceEqualGroups", () => {
  test("replaces prompts without a difference until the step is full, in the stream's order", async () => {
    const stream = new Stream((id) => id < 8 && id % 2 === 0);
    const result = await run(stream, 6, 24);
    expect(idsOf(result)).toEqual([1, 3, 5, 7, 8, 9]);
    // 3 missing where half are of use: 6 more, of which the last two are not needed
    expect(stream.counts).toEqual([6, 6]);
    expect(result.metrics).toEqual({
      reward_mean_sampled: (4 * 2 + 8 * 1) / 24,
      ...{ prompts_sampled: 12, prompts_replaced: 4, sampling_rounds: 2 },
    });
    expect(result.drawn.stream_end).toBe(12);
  });

  test("rows, rewards, texts and images all belong to the prompts that are kept", async () => {
    const { drawn, collected } = await run(new Stream((id) => id % 3 !== 0), 3, 12);
    const kept = drawn.samples.map(({ prompt_id }) => prompt_id);
    expect(kept).toEqual([0, 3, 6]);
    const ids = Array.from(flatValues<BigInt64Array>(collected.rollouts, "prompt_id"), Number);
    expect(ids).toEqual(kept.flatMap((id) => [id, id]));
    expect([...collected.rewards.breakdown["id"]!]).toEqual(ids);
    expect([...collected.rewards.reward]).toEqual([0, 1, 0, 1, 0, 1]);
    expect(strings(collected.rollouts, "sample_id")).toEqual(ids.map((id) => `s${id}`));
    const { offsets, values } = listValues<Int32Array>(collected.rollouts, "token_ids");
    ids.forEach((id, row) => {
      expect([...values.slice(offsets[row], offsets[row]! + 2)]).toEqual([1, id]);
      expect(values.slice(offsets[row]! + 2, offsets[row + 1]).join(" ")).toBe(collected.completions[row]);
    });
    expect(Array.from(flatValues<BigInt64Array>(drawn.prompts, "prompt_id"), Number)).toEqual(kept);
    for (const id of kept) {
      expect(drawn.promptText(id)).toBe(`prompt ${id}`);
      expect(drawn.sample(id).answer).toBe(String(id));
    }
    expect(() => drawn.sample(1)).toThrow("prompt 1 is not of this step");
    expect(drawn.images.map(({ id }) => id)).toEqual(expect.arrayContaining(kept.map((id) => `image${id}`)));
  });

  test("draws nothing where every prompt is of use", async () => {
    const stream = new Stream(() => false);
    const result = await run(stream, 4, 16);
    expect(stream.counts).toEqual([4]);
    expect(result.metrics).toMatchObject({ prompts_replaced: 0, sampling_rounds: 1 });
    expect(result.events.filter(({ type }) => type === "note")).toEqual([]);
  });

  test("stops at the cap, fills up with equal ones, and says so", async () => {
    const stream = new Stream((id) => id !== 5);
    const result = await run(stream, 4, 10);
    expect(stream.position).toBe(10);
    expect(idsOf(result)).toEqual([0, 1, 2, 5]);
    expect(result.metrics).toMatchObject({ prompts_sampled: 10, prompts_replaced: 6 });
    expect(result.events.find(({ type }) => type === "note")).toEqual({
      type: "note",
      message:
        "step 1: only 1 of 10 sampled prompts have unequal rewards; 3 of 4 are filled up with prompts that teach nothing",
    });
  });

  test("goes on with what there is where the data ends", async () => {
    const result = await run(new Stream((id) => id !== 0, 5), 4, 40);
    expect(idsOf(result)).toEqual([0, 1, 2, 3]);
    expect(result.events.find(({ type }) => type === "note")).toMatchObject({
      message: expect.stringContaining("and the data ended") as string,
    });
  });

  test("progress of a step never falls, and says what the further rounds are for", async () => {
    const { events } = await run(new Stream((id) => id < 3), 4, 40);
    const progress = events.filter((event) => event.type === "progress");
    const done = progress.map((event) => event.done);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(progress.at(-1)!.done).toBe(progress.at(-1)!.total);
    expect(progress.at(-1)!.unit).toBe("completions of round 2: 1 of 4 prompts have unequal rewards");
  });

  test("a cap of one step draws nothing more", async () => {
    const stream = new Stream(() => true);
    await run(stream, 4, 4);
    expect(stream.counts).toEqual([4]);
  });
});
