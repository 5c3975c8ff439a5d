import { expect, test } from "vitest";
import { evaluate, type EvaluateOptions } from "../../../src/evaluate/evaluate.js";
import type { Processor } from "../../../src/pipeline/data/processor.js";
import type { Ranks } from "../../../src/ranks/ranks.js";
import { EngineDouble } from "../pipeline/rollout/engine-double.js";
import { inMemory } from "../ranks/in-memory.js";

const processor = {
  stop_token_ids: [1],
  renderPrompt: ({ question }: { question: string }) => question,
  encodePrompt: (text: string) => Int32Array.from(text, (letter) => letter.charCodeAt(0)),
  decode: (ids: Int32Array) => ids.join(" "),
} as unknown as Processor;

async function evaluated(ranks: Ranks, signal: AbortSignal): Promise<unknown> {
  const options: EvaluateOptions = {
    engine: new EngineDouble().engine,
    ...{ processor, ranks, signal, seed: 0, max_items: null, system_prompt: null },
    samples: { length: 4, get: (i) => ({ id: `s${i}`, question: `question ${i}`, answer: `${i}`, images: [] }) },
    settings: [{ name: "t1", temperature: 1, top_k: 0, top_p: 1, completions_per_prompt: 2, assistant_prefix: "" }],
    ...{ max_prompt_tokens: 100, max_completion_tokens: 4, max_concurrent_completions: 4, kv_block_size: 4 },
  };
  const work = evaluate(options);
  let next = await work.next();
  while (next.done !== true) next = await work.next();
  return next.value.results;
}

test("an interrupt of one rank once all have sampled is one of all: none goes on with an evaluation alone", async () => {
  const [first, second] = inMemory(2) as [Ranks, Ranks];
  const interrupt = new AbortController();
  const interrupted: Ranks = {
    ...second,
    agree: async (outcome) => {
      const all = await second.agree(outcome);
      interrupt.abort();
      return all;
    },
  };
  const quiet = new AbortController().signal;
  const ended = await Promise.allSettled([evaluated(first, quiet), evaluated(interrupted, interrupt.signal)]);
  expect(ended.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
});
