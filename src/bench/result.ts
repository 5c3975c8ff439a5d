import { value_bytes } from "../config/activation-memory.js";
import type { Dtype } from "../engine/engine.js";
import { type Cost, type CountedPhase, decodeBytes, flopsOf, type Group } from "./flops.js";
import { attainableRate, type Limits } from "./limits.js";
import type { ModelShapes } from "./shapes.js";
import type { StepTimes } from "./step.js";

export interface BenchResult {
  readonly num_parameters: number;
  readonly num_trainable_parameters: number;
  readonly threads: number;
  /** Tokenizer, weights, reference. */
  readonly load_seconds: number;
  readonly peak_rss_bytes: number;
  /** Held by tensors on an NVIDIA device; 0 on the CPU. */
  readonly peak_device_bytes: number;
  /** Of each prompt; image tokens are part of it. */
  readonly prompt_tokens: number;
  readonly image_tokens: number;
  readonly limits: Limits;
  /** The timed steps. */
  readonly steps: readonly StepTimes[];
  readonly phases: readonly Phase[];
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Tokens that a phase computes: prompts and their images once a group. */
export interface Tokens {
  readonly prompt: number;
  readonly image: number;
  readonly completion: number;
}

export interface Phase {
  readonly name: keyof StepTimes;
  /** The phase that this one is a part of. */
  readonly part_of: keyof StepTimes | null;
  readonly seconds: Spread;
  readonly tokens: Tokens;
  /** Of the median, as are all rates. */
  readonly tokens_per_second: Tokens;
  /** Null where operations are not counted apart. */
  readonly flops: number | null;
  readonly flops_per_second: number | null;
  /** The GEMM rate measured at this phase's own shapes. */
  readonly limit_flops_per_second: number | null;
  readonly share_of_limit: number | null;
  /** Read at least: decode only. */
  readonly bytes_per_second: number | null;
  readonly share_of_bandwidth: number | null;
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

interface Measured {
  readonly times: readonly StepTimes[];
  readonly groups: readonly Group[];
  readonly costs: Readonly<Record<CountedPhase, Cost>>;
  readonly limits: Limits;
  readonly shapes: ModelShapes;
  readonly dtype: Dtype;
  readonly with_reference: boolean;
}

const none: Tokens = { prompt: 0, image: 0, completion: 0 };

export function summarize({ times, groups, costs, limits, shapes, dtype, with_reference }: Measured): readonly Phase[] {
  const count = (of: (group: Group) => number): number => groups.reduce((total, group) => total + of(group), 0);
  const image = count((group) => group.image_tokens);
  const prompt = count((group) => group.prompt_tokens) - image;
  const completion = count((group) => group.num_completions * group.completion_tokens);
  const all = { prompt, image, completion };
  const prompts = { prompt, image, completion: 0 };
  const phase = (
    name: keyof StepTimes,
    part_of: keyof StepTimes | null,
    tokens: Tokens,
    parts: readonly CountedPhase[],
  ): Phase => {
    const seconds = spread(times.map((step) => step[name]));
    const cost = together(parts.map((part) => costs[part]));
    const limit = parts.length === 0 ? undefined : attainableRate(cost, limits);
    const flops = limit === undefined ? null : flopsOf(cost);
    const per_second = (amount: number): number => (amount > 0 ? amount / seconds.median : 0);
    const rate = flops === null ? null : per_second(flops);
    const bytes_per_second = name === "decode" ? per_second(decodeBytes(shapes, groups, value_bytes[dtype])) : null;
    return {
      ...{ name, part_of, seconds, tokens, flops, flops_per_second: rate, bytes_per_second },
      tokens_per_second: {
        prompt: per_second(tokens.prompt),
        image: per_second(tokens.image),
        completion: per_second(tokens.completion),
      },
      limit_flops_per_second: limit ?? null,
      share_of_limit: rate === null || limit === undefined ? null : rate / limit,
      share_of_bandwidth: bytes_per_second === null ? null : bytes_per_second / limits.read_bytes_per_second,
    };
  };
  const with_images = image > 0;
  return [
    ...(with_images ? [phase("images", "step", { ...none, image }, [])] : []),
    phase("rollout", "step", all, ["vision", "prefill", "decode"]),
    ...(with_images ? [phase("vision", "rollout", { ...none, image }, ["vision"])] : []),
    phase("prefill", "rollout", prompts, ["prefill"]),
    phase("decode", "rollout", { ...none, completion }, ["decode"]),
    phase("sampling", "rollout", { ...none, completion }, []),
    ...(with_reference ? [phase("score", "step", all, ["score"])] : []),
    phase("update", "step", all, ["update"]),
    phase("forward", "update", all, []),
    phase("backward", "update", all, []),
    phase("optimizer", "update", none, []),
    phase("step", null, all, ["vision", "prefill", "decode", ...(with_reference ? ["score" as const] : []), "update"]),
  ];
}

const together = (costs: readonly Cost[]): Cost => ({
  products: costs.flatMap((cost) => cost.products),
  attention_flops: costs.reduce((total, cost) => total + cost.attention_flops, 0),
});
