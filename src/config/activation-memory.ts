import type { Dtype } from "./sections.js";
import type { BlockSizes, ModelSizes } from "./model-sizes.js";

/**
 * Bytes that forward and backward passes hold, read off native/modules and native/kernels. Every constant that belongs to
 * how the engine computes, rather than to a model, is in this file, or an estimate in memory-plan.ts.
 */

export const value_bytes = { float32: 4, bfloat16: 2 } as const;
export const float32_bytes = value_bytes.float32;

/** Values held by the passes of one microbatch, and by the log-probs of its completions. */
export interface Pass {
  /** Prompts, images and completions, as they are computed at once. */
  readonly tokens: number;
  /** Tokens that are predicted. */
  readonly predicted: number;
  /** Patches of its images, where the vision tower computes them in this pass. */
  readonly patches: number;
}

export interface Work {
  readonly dtype: Dtype;
  readonly activation_checkpointing: boolean;
  readonly train_language_model: boolean;
}

/**
 * One token's values kept in one block for backward. float32: the inputs of two norms and four linear layers, q, k, v and
 * q, k rotated, gate and up, the scores' log-sums. bfloat16: norms keep a float32 copy, attention a float32 output, the
 * activation silu(gate) too.
 */
const keptBytes = ({ width, kv_width, heads, intermediate }: BlockSizes, dtype: Dtype): number =>
  dtype === "float32"
    ? 4 * (7 * width + 3 * kv_width + 3 * intermediate + heads + 2)
    : 26 * width + 6 * kv_width + 8 * intermediate + 4 * (heads + 2);

/** One token's values in one block without gradients, where most are alive: in the feed-forward layer or in attention. */
const forwardOnlyBytes = ({ width, kv_width, intermediate }: BlockSizes, dtype: Dtype): number =>
  dtype === "float32"
    ? 4 * Math.max(5 * width + 3 * intermediate, 7 * width + 3 * kv_width)
    : Math.max(10 * width + 8 * intermediate, 22 * width + 14 * kv_width);

/** One token's gradients in one block, besides what is kept. */
const gradientBytes = ({ width, kv_width, intermediate }: BlockSizes, dtype: Dtype): number =>
  dtype === "float32"
    ? 4 * (3 * width + Math.max(3 * intermediate, 5 * kv_width))
    : 14 * width + Math.max(10 * intermediate, 10 * kv_width);

/** Rows of logits that native/kernels/lm_head_logprobs.cpp holds at once. */
export const logitsRows = (vocabulary: number, predicted: number): number =>
  Math.min(predicted, Math.max(128, Math.floor(2 ** 24 / vocabulary)));

/** A pass without gradients: one block's values, and those that go from block to block. */
export function forwardBytes(sizes: ModelSizes, pass: Pass, dtype: Dtype): number {
  const { language, vision } = sizes;
  const through = pass.tokens * (2 * language.width * value_bytes[dtype] + headWidth(language) * float32_bytes);
  const tower =
    vision === undefined
      ? 0
      : pass.patches * (forwardOnlyBytes(vision, dtype) + 2 * vision.patch_elements * float32_bytes);
  const head =
    logitsRows(language.vocabulary, pass.predicted) * language.vocabulary * float32_bytes +
    pass.predicted * language.width * value_bytes[dtype];
  return Math.max(tower, through + Math.max(pass.tokens * forwardOnlyBytes(language, dtype), head));
}

/** Forward and backward of one microbatch, where it takes the most: at the head, or in the last block. */
export function updateBytes(sizes: ModelSizes, pass: Pass, work: Work): number {
  const { language, vision } = sizes;
  const { dtype, activation_checkpointing: checkpointing } = work;
  const bytes = value_bytes[dtype];
  const kept = (block: BlockSizes): number =>
    block.blocks * (checkpointing ? block.width * bytes : keptBytes(block, dtype));
  const inBlock = (block: BlockSizes): number =>
    gradientBytes(block, dtype) + (checkpointing ? keptBytes(block, dtype) : 0);
  // Embedding with and without images, the last norm's input and output, angles; the rows that predict, and their gradient.
  const ends =
    pass.tokens * (4 * language.width * bytes + headWidth(language) * float32_bytes) +
    2 * pass.predicted * language.width * bytes;
  const tower = vision && kept(vision) + 2 * vision.patch_elements * float32_bytes + 4 * vision.width * bytes;
  const weights = work.train_language_model ? 2 * 2 * language.intermediate * language.width * bytes : 0;
  return (
    ends +
    pass.tokens * kept(language) +
    pass.patches * (tower ?? 0) +
    Math.max(
      headBackwardBytes(sizes, pass, work),
      pass.tokens * inBlock(language) + weights,
      vision === undefined ? 0 : pass.patches * inBlock(vision),
    )
  );
}

/** A chunk of logits, which become their gradients, and the weight's gradient: twice to transpose it, and the sum so far. */
function headBackwardBytes({ language }: ModelSizes, pass: Pass, { dtype, train_language_model }: Work): number {
  const { vocabulary, width } = language;
  const rows = logitsRows(vocabulary, pass.predicted);
  const copies = train_language_model ? (rows < pass.predicted ? 3 : 2) : 0;
  const logits_bytes = float32_bytes + (dtype === "float32" ? 0 : value_bytes[dtype]);
  return rows * vocabulary * logits_bytes + copies * vocabulary * width * float32_bytes;
}

const headWidth = ({ width, heads }: BlockSizes): number => width / heads;
