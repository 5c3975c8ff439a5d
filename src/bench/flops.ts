import type { GemmShape } from "../engine/ceilings.js";
import { type LinearLayer, type ModelShapes, PATCH_EMBEDDING } from "./shapes.js";

/** One prompt with its images and completions: what the engine computes together. */
export interface Group {
  /** Image tokens included. */
  readonly prompt_tokens: number;
  readonly image_tokens: number;
  /** Patches of each image, height x width. */
  readonly grids: readonly (readonly [height: number, width: number])[];
  /** Tokens of one completion. */
  readonly completion_tokens: number;
  readonly num_completions: number;
}

/** Rows that the engine gives to one matrix product at most. */
export interface RowsAtOnce {
  readonly patches: number;
  readonly image_tokens: number;
  readonly prefill_tokens: number;
  readonly decode_slots: number;
  readonly microbatch_tokens: number;
  readonly head: number;
}

/** All products of one shape in a phase: `rows` of `total_rows` at once. */
export interface MatrixProduct extends GemmShape {
  readonly layer: string;
  readonly total_rows: number;
}

/** Useful operations of a phase: what is computed a second time to save memory does not count. */
export interface Cost {
  readonly products: readonly MatrixProduct[];
  readonly attention_flops: number;
}

export type CountedPhase = "vision" | "prefill" | "decode" | "score" | "update";

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** A multiplication and an addition count as two. */
export const productFlops = ({ total_rows, inputs, outputs }: MatrixProduct): number =>
  2 * total_rows * inputs * outputs;
export const flopsOf = (cost: Cost): number => sum(cost.products.map(productFlops)) + cost.attention_flops;

/** Scores and weighted values: 2 x 2 operations for each query, key and element of width. */
const attentionFlops = (pairs: number, width: number, blocks: number): number => 4 * pairs * width * blocks;

const forward = (layers: readonly LinearLayer[], rows: number, at_once: number): MatrixProduct[] =>
  rows === 0
    ? []
    : layers.map(({ name, inputs, outputs, count }) => ({
        ...{ layer: name, product: "forward" as const, inputs, outputs },
        rows: Math.min(rows, at_once),
        total_rows: rows * count,
      }));

/** Of the same layers: the gradients of every weight, and of every input but the pixels. */
const backward = (products: readonly MatrixProduct[]): MatrixProduct[] =>
  products.flatMap((product) => [
    ...(product.layer === PATCH_EMBEDDING ? [] : [{ ...product, product: "input_gradient" as const }]),
    { ...product, product: "weight_gradient" as const },
  ]);

/** Images, each once. */
function visionCost(shapes: ModelShapes, groups: readonly Group[], at_once: RowsAtOnce): Cost {
  const grids = groups.flatMap((group) => group.grids);
  const patches = sum(grids.map(([height, width]) => height * width));
  const { width, full_blocks, window_blocks, window_side } = shapes.vision_attention;
  const full_pairs = sum(grids.map(([height, columns]) => (height * columns) ** 2));
  const window_pairs = sum(
    grids.map(([height, columns]) => squares(height, window_side) * squares(columns, window_side)),
  );
  return {
    products: [
      ...forward(shapes.patch_layers, patches, at_once.patches),
      ...forward(shapes.image_token_layers, sum(groups.map((group) => group.image_tokens)), at_once.image_tokens),
    ],
    attention_flops:
      attentionFlops(full_pairs, width, full_blocks) + attentionFlops(window_pairs, width, window_blocks),
  };
}

/** Sum of the squared lengths of a side that is cut into windows. */
function squares(length: number, window: number): number {
  const rest = length % window;
  return Math.floor(length / window) * window ** 2 + rest ** 2;
}

const causalPairs = (length: number): number => (length * (length + 1)) / 2;

/** Prompts once each; one row of logits a prompt. */
function prefillCost(shapes: ModelShapes, groups: readonly Group[], at_once: RowsAtOnce): Cost {
  const { width, blocks } = shapes.attention;
  return {
    products: [
      ...forward(shapes.token_layers, sum(groups.map((group) => group.prompt_tokens)), at_once.prefill_tokens),
      ...forward([shapes.head], groups.length, groups.length),
    ],
    attention_flops: attentionFlops(sum(groups.map((group) => causalPairs(group.prompt_tokens))), width, blocks),
  };
}

/** Completion tokens fed, all but each one's last: every one sees the prompt, those before it, and itself. */
const fed = ({ completion_tokens, num_completions }: Group): number => num_completions * (completion_tokens - 1);
const completionPairs = (group: Group): number =>
  fed(group) * group.prompt_tokens + group.num_completions * causalPairs(group.completion_tokens - 1);

function decodeCost(shapes: ModelShapes, groups: readonly Group[], at_once: RowsAtOnce): Cost {
  const { width, blocks } = shapes.attention;
  const rows = sum(groups.map(fed));
  return {
    products: forward([...shapes.token_layers, shapes.head], rows, at_once.decode_slots),
    attention_flops: attentionFlops(sum(groups.map(completionPairs)), width, blocks),
  };
}

/** Log-probs of completions, prompts once a group. */
function scoreCost(shapes: ModelShapes, groups: readonly Group[], at_once: RowsAtOnce): Cost {
  const { width, blocks } = shapes.attention;
  const rows = sum(groups.map((group) => group.prompt_tokens + fed(group)));
  const predicted = sum(groups.map((group) => group.num_completions * group.completion_tokens));
  const pairs = sum(groups.map((group) => causalPairs(group.prompt_tokens) + completionPairs(group)));
  return {
    products: [
      ...forward(shapes.token_layers, rows, at_once.microbatch_tokens),
      ...forward([shapes.head], predicted, at_once.head),
    ],
    attention_flops: attentionFlops(pairs, width, blocks),
  };
}

const together = (...costs: readonly Cost[]): Cost => ({
  products: costs.flatMap((cost) => cost.products),
  attention_flops: sum(costs.map((cost) => cost.attention_flops)),
});

/**
 * The operations of one step that trains the language model, by phase. Features of a frozen vision tower are computed
 * once, before prefill; if it learns, `score` and `update` compute their own.
 */
export function phaseCosts(
  shapes: ModelShapes,
  groups: readonly Group[],
  at_once: RowsAtOnce,
  train_vision: boolean,
): Readonly<Record<CountedPhase, Cost>> {
  const vision = visionCost(shapes, groups, at_once);
  const language = scoreCost(shapes, groups, at_once);
  const score = train_vision ? together(vision, language) : language;
  return {
    vision,
    prefill: prefillCost(shapes, groups, at_once),
    decode: decodeCost(shapes, groups, at_once),
    score,
    update: together(score, {
      products: backward(score.products),
      attention_flops: 2 * score.attention_flops, // gradients of query, key, value and weights: four products for two
    }),
  };
}

/**
 * Bytes that the decode steps must read at least: all weights of the language model, and every key and value held, once a step.
 * @param value_bytes of one weight, key or value
 */
export function decodeBytes(shapes: ModelShapes, groups: readonly Group[], value_bytes: number): number {
  const weights = sum([...shapes.token_layers, shapes.head].map((layer) => layer.inputs * layer.outputs * layer.count));
  const steps = Math.max(0, ...groups.map((group) => group.completion_tokens - 1));
  const held = sum(
    groups.map(
      (group) =>
        (group.completion_tokens - 1) * group.prompt_tokens +
        group.num_completions * causalPairs(group.completion_tokens - 1),
    ),
  );
  const { kv_width, blocks } = shapes.attention;
  return value_bytes * (steps * weights + held * 2 * kv_width * blocks);
}
