import { type BenchProgress, measureSteps, type StepOptions } from "./bench.js";
import { flopsOf } from "./flops.js";
import { spread, type Spread } from "./result.js";

/** Which size grows. */
export type Sweep = "completions" | "new_tokens" | "prompt_length" | "images" | "width";

export interface SweepPoint {
  /** The size's value: completions or tokens or images of one prompt, or the factor of the width. */
  readonly value: number;
  readonly seconds: Spread;
  /** Useful operations of one step. */
  readonly flops: number;
  /** log(time ratio) / log(value ratio) to the point before; 1 grows in proportion, below 1 slower. Null for the first. */
  readonly exponent: number | null;
  readonly flops_exponent: number | null;
}

export interface SweepOptions {
  /** A model `factor` times as wide. */
  readonly widen: (factor: number) => Promise<string>;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: BenchProgress) => void;
}

/** Step times at 1, 2, 4 and, but for the width, 8 times the size asked for. */
export async function sweep(which: Sweep, options: StepOptions, rest: SweepOptions): Promise<readonly SweepPoint[]> {
  const points: SweepPoint[] = [];
  for (const factor of which === "width" ? [1, 2, 4] : [1, 2, 4, 8]) {
    const [value, changed] = await scaled(which, options, factor, rest.widen);
    const { steps, costs } = await measureSteps(changed, rest.signal, rest.onProgress);
    const seconds = spread(steps.map((times) => times.step));
    const { vision, prefill, decode, score, update } = costs;
    const counted = [vision, prefill, decode, update, ...(options.with_reference ? [score] : [])];
    const flops = counted.reduce((total, cost) => total + flopsOf(cost), 0);
    const before = points.at(-1);
    const exponent = (now: number, then: number): number => Math.log(now / then) / Math.log(value / before!.value);
    points.push({
      ...{ value, seconds, flops },
      exponent: before === undefined ? null : exponent(seconds.median, before.seconds.median),
      flops_exponent: before === undefined ? null : exponent(flops, before.flops),
    });
  }
  return points;
}

async function scaled(
  which: Sweep,
  options: StepOptions,
  factor: number,
  widen: SweepOptions["widen"],
): Promise<[value: number, options: StepOptions]> {
  const { completions, new_tokens, images_per_prompt, prompt_tokens = least_prompt_tokens } = options;
  switch (which) {
    case "completions":
      return [completions * factor, { ...options, completions: completions * factor }];
    case "new_tokens":
      return [new_tokens * factor, { ...options, new_tokens: new_tokens * factor }];
    case "prompt_length":
      return [prompt_tokens * factor, { ...options, prompt_tokens: prompt_tokens * factor }];
    case "images":
      return [images_per_prompt * factor, { ...options, images_per_prompt: images_per_prompt * factor }];
    case "width":
      return [factor, factor === 1 ? options : { ...options, model_path: await widen(factor) }];
    default:
      return which satisfies never;
  }
}

const least_prompt_tokens = 64;
