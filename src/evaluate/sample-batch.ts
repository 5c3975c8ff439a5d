import type { RecordBatch } from "apache-arrow";
import { boolColumn, float32Column, int32Column, recordBatch, structColumn, utf8Column } from "../batches/columns.js";
import type { EvaluationSample } from "./result.js";

/** One row a completion. An item without a final answer has "" there; `has_final_answer` tells it from an empty one. */
export function sampleBatch(
  samples: readonly EvaluationSample[],
  names: { readonly dataset: string; readonly split: string },
): RecordBatch {
  const texts = (of: (sample: EvaluationSample) => string) => utf8Column(samples.map(of));
  const numbers = (of: (sample: EvaluationSample) => number) => int32Column(Int32Array.from(samples, of));
  const flags = (of: (sample: EvaluationSample) => boolean) => {
    const bits = new Uint8Array(Math.ceil(samples.length / 8));
    samples.forEach((sample, row) => (bits[row >> 3]! |= Number(of(sample)) << (row & 7)));
    return boolColumn(bits, samples.length);
  };
  const parts = Object.keys(samples[0]?.reward_breakdown ?? { accuracy: 0 }).map((name) => {
    const values = Float32Array.from(samples, ({ reward_breakdown }) => reward_breakdown[name] ?? 0);
    return [name, float32Column(values)] as const;
  });
  return recordBatch(
    {
      dataset: texts(() => names.dataset),
      split: texts(() => names.split),
      item: numbers(({ item }) => item),
      item_id: texts(({ item_id }) => item_id),
      setting: texts(({ setting }) => setting),
      control: texts(({ control }) => control),
      sample_index: numbers(({ sample_index }) => sample_index),
      completion: texts(({ completion }) => completion),
      answer: texts(({ answer }) => answer),
      final_answer: texts(({ final_answer }) => final_answer ?? ""),
      has_final_answer: flags(({ final_answer }) => final_answer !== null),
      correct: flags(({ correct }) => correct),
      reward_breakdown: structColumn(Object.fromEntries(parts), samples.length),
      completion_length: numbers(({ completion_length }) => completion_length),
      finish_reason: texts(({ finish_reason }) => finish_reason),
      logprob_sum: float32Column(Float32Array.from(samples, ({ logprob_sum }) => logprob_sum)),
    },
    samples.length,
  );
}
