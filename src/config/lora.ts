import { z } from "zod";
import { readTensorShapes } from "./model-sizes.js";
import type { ModelSizes } from "./model-sizes.js";

/** LoRA (arXiv:2106.09685) on the language model; its own weights stay frozen. There is no dropout. */
export const loraSchema = z
  .strictObject({
    /** Folder of an adapter in PEFT's format to go on from; null makes a new one, which needs rank and alpha. */
    path: z.string().min(1).nullable().default(null),
    /** What is left out of the following is the loaded adapter's; what is given must be the same. */
    rank: z.int().positive().optional(),
    /** What the adapter adds is multiplied by alpha / rank. */
    alpha: z.number().positive().optional(),
    /** Names of linear layers, q_proj for instance; a new adapter takes all_linear: every one but the LM head. */
    targets: z
      .union([z.literal("all_linear"), z.array(z.string().min(1)).min(1)], {
        error: "expected all_linear, or a list of names such as [q_proj, v_proj]",
      })
      .optional(),
    /** alpha / sqrt(rank) instead (arXiv:2312.03732); false for a new adapter. */
    rslora: z.boolean().optional(),
    /** Whether a checkpoint holds, besides adapter/, the whole model with the adapter merged in. */
    save_merged: z.boolean().default(true),
  })
  .superRefine(({ path, rank, alpha }, context) => {
    if (path !== null) return;
    for (const [key, value] of Object.entries({ rank, alpha }))
      if (value === undefined)
        context.addIssue({ code: "custom", path: [key], message: "is missing; a new adapter needs rank and alpha" });
  });
export type LoraConfig = z.infer<typeof loraSchema>;

interface ModelKeys {
  readonly train_vision_tower: boolean;
  readonly train_connector: boolean;
  readonly train_language_model: boolean;
  readonly lora: LoraConfig | null;
}

export const trainsVisionToo = ({ train_vision_tower, train_connector }: Omit<ModelKeys, "lora">): boolean =>
  train_vision_tower || train_connector;

/** What makes a model's keys contradict each other, if anything does. */
export function loraContradiction(model: ModelKeys): { readonly path: string[]; readonly message: string } | undefined {
  if (model.lora === null) return undefined;
  if (!model.train_language_model)
    return { path: ["model", "lora"], message: "trains the language model, but train_language_model is false" };
  if (!model.lora.save_merged && trainsVisionToo(model))
    return {
      path: ["model", "lora", "save_merged"],
      message: "must be true where vision tower or connector are trained: an adapter does not hold them",
    };
  return undefined;
}

/** What a checkpoint holds. An adapter that is not all that was trained is not written alone: it would mislead. */
export const savedParts = (model: ModelKeys): SavedParts => ({
  model: model.lora?.save_merged ?? true,
  adapter: model.lora !== null && !trainsVisionToo(model),
  frozen_state: model.lora === null,
});

export interface SavedParts {
  readonly model: boolean;
  readonly adapter: boolean;
  /** Whether state/ holds frozen weights too, not only the trained ones. */
  readonly frozen_state: boolean;
}

/** What a memory plan needs to know of an adapter. */
export interface AdapterSizes {
  readonly parameters: number;
  /** Values of x A^T that one token keeps for backward, over all blocks. */
  readonly kept_values: number;
  /** A reference needs a copy of one that was loaded; a new one changes nothing yet. */
  readonly loaded: boolean;
}

export async function adapterSizes(sizes: ModelSizes, lora: LoraConfig): Promise<AdapterSizes> {
  const shapes = lora.path === null ? newShapes(sizes, lora) : await loadedShapes(lora.path);
  const elements = (shape: readonly number[]): number => shape.reduce((product, length) => product * length, 1);
  return {
    parameters: shapes.reduce((sum, { A, B }) => sum + elements(A) + elements(B), 0),
    kept_values: shapes.reduce((sum, { A }) => sum + (A[0] ?? 0), 0),
    loaded: lora.path !== null,
  };
}

interface Halves {
  readonly A: readonly number[];
  readonly B: readonly number[];
}

/** Targets that no layer has are found by the engine. */
function newShapes({ language }: ModelSizes, { rank = 0, targets = "all_linear" }: LoraConfig): readonly Halves[] {
  const { blocks, width, kv_width, intermediate } = language;
  const layers: Readonly<Record<string, readonly [inputs: number, outputs: number]>> = {
    q_proj: [width, width],
    k_proj: [width, kv_width],
    v_proj: [width, kv_width],
    o_proj: [width, width],
    gate_proj: [width, intermediate],
    up_proj: [width, intermediate],
    down_proj: [intermediate, width],
  };
  const one = Object.entries(layers)
    .filter(([name]) => targets === "all_linear" || targets.includes(name))
    .map(([, [inputs, outputs]]): Halves => ({ A: [rank, inputs], B: [outputs, rank] }));
  return Array.from({ length: blocks }, () => one).flat();
}

async function loadedShapes(folder: string): Promise<readonly Halves[]> {
  const { shapes } = await readTensorShapes(folder);
  const half = (name: string): (readonly number[])[] =>
    shapes.filter(([tensor]) => tensor.endsWith(`.${name}.weight`)).map(([, shape]) => shape);
  return [...half("lora_A").map((A): Halves => ({ A, B: [0] })), ...half("lora_B").map((B): Halves => ({ A: [0], B }))];
}
