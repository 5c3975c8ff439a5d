import type { BlockSizes, ModelSizes } from "./model-sizes.js";

/**
 * float32 values that forward and backward passes hold, read off native/modules and native/kernels. Every constant that
 * belongs to how the engine computes, rather than to a model, is in this file and in memory-plan.ts's `engine`.
 */

/** One token's values kept in one block for backward: the inputs of two norms and of four linear layers, q, k, v, scores' log-sums. */
export const keptFloats = ({ width, kv_width, heads, intermediate }: BlockSizes): number =>
  6 * width + 2 * kv_width + 3 * intermediate + heads + 2;

/** One token's values alive for a moment in one block, besides what is kept. */
const forwardFloats = ({ width, kv_width, intermediate }: BlockSizes): number =>
  Math.max(3 * width + 4 * kv_width, 2 * intermediate + width);
const backwardFloats = ({ width, kv_width, intermediate }: BlockSizes): number =>
  Math.max(7 * width + 8 * kv_width, 2 * width + 6 * intermediate);

/** Values held by the passes of one microbatch, and by the log-probs of its completions. */
export interface Pass {
  /** Prompts, images and completions, as they are computed at once. */
  readonly tokens: number;
  /** Tokens that are predicted. */
  readonly predicted: number;
  /** Patches of its images, where the vision tower computes them in this pass. */
  readonly patches: number;
}

const float32_bytes = 4;

/** Logits that native/kernels/lm_head_logprobs.cpp holds at once, and copies of them while it works. */
const logits_at_once = 2 ** 23;
const forward_copies = 3;
const backward_copies = 4;

function logitsFloats({ language: { vocabulary } }: ModelSizes, predicted: number, copies: number): number {
  const rows = Math.min(predicted, Math.max(16, Math.floor(logits_at_once / vocabulary)));
  return copies * rows * vocabulary;
}

/** A pass without gradients: one block's values, and those that go from block to block. */
export function forwardBytes(sizes: ModelSizes, pass: Pass): number {
  const one = (block: BlockSizes, rows: number): number => rows * (keptFloats(block) + forwardFloats(block));
  const language = one(sizes.language, pass.tokens);
  const vision = sizes.vision === undefined ? 0 : one(sizes.vision, pass.patches);
  const head = logitsFloats(sizes, pass.predicted, forward_copies) + pass.predicted * sizes.language.width;
  return float32_bytes * Math.max(language, vision, head + 2 * pass.tokens * sizes.language.width);
}

/** What the forward pass keeps for backward: every block's values, or every block's input and one block's values. */
export function keptBytes(sizes: ModelSizes, pass: Pass, checkpointing: boolean): number {
  const { language, vision } = sizes;
  const blocks = (block: BlockSizes): number =>
    checkpointing ? block.blocks * block.width + keptFloats(block) : block.blocks * keptFloats(block);
  // Embedding with and without images, the last norm's input and output; the rows that predict.
  const ends = pass.tokens * 4 * language.width + 2 * pass.predicted * language.width;
  const tower =
    vision === undefined ? 0 : pass.patches * (blocks(vision) + 2 * vision.patch_elements + 4 * vision.width);
  return float32_bytes * (pass.tokens * blocks(language) + ends + tower);
}

/** What backward holds for a moment on top of what was kept: at the head, or in the last block. */
export function backwardBytes(sizes: ModelSizes, pass: Pass): number {
  const { language, vision } = sizes;
  const block = pass.tokens * (backwardFloats(language) + 2 * language.width);
  const tower = vision === undefined ? 0 : pass.patches * backwardFloats(vision);
  return float32_bytes * Math.max(logitsFloats(sizes, pass.predicted, backward_copies), block, tower);
}
