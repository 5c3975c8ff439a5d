import { join } from "node:path";
import { z } from "zod";
import { readTensorShapes, type TensorShapes } from "../config/model-sizes.js";
import { UserError } from "../errors.js";
import { missingFile, parseAs, readJson } from "../pipeline/data/checkpoint-files.js";

/** `count` linear layers of one size: y = x W^T with W [outputs, inputs]. Projections of one input count as one layer. */
export interface LinearLayer {
  /** As in the checkpoint, without the block's number: "visual.blocks.attn.qkv". */
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly count: number;
}

/** What a model multiplies: enough to count operations and bytes, nothing of its weights. */
export interface ModelShapes {
  /** Applied to every patch; the first reads pixels. */
  readonly patch_layers: readonly LinearLayer[];
  /** Applied to every image token. */
  readonly image_token_layers: readonly LinearLayer[];
  /** Applied to every token of the language model. */
  readonly token_layers: readonly LinearLayer[];
  /** Applied to every token that predicts another. */
  readonly head: LinearLayer;
  readonly vision_attention: {
    /** Heads x head width. */
    readonly width: number;
    readonly full_blocks: number;
    readonly window_blocks: number;
    /** Side of a window, patches. */
    readonly window_side: number;
  };
  readonly attention: {
    readonly width: number;
    /** Key/value heads x head width. */
    readonly kv_width: number;
    readonly blocks: number;
  };
}

export const PATCH_EMBEDDING = "visual.patch_embed.proj";

/** Windows, where the vision tower has them. */
const visionSchema = z.object({
  patch_size: z.int().positive(),
  spatial_merge_size: z.int().positive().default(2),
  window_size: z.int().positive().optional(),
  fullatt_block_indexes: z.array(z.int()).optional(),
});

/** @throws UserError MODEL_UNSUPPORTED for a model whose layers have other names than Qwen's vision-language families */
export async function readShapes(folder: string): Promise<ModelShapes> {
  const config = await readJson(folder, "config.json");
  if (config === undefined) throw missingFile(folder, ["config.json"], "the model's configuration");
  const file = join(folder, "config.json");
  const { shapes } = await readTensorShapes(folder);
  const layers = linearLayers(shapes);
  const named = (pattern: RegExp): readonly LinearLayer[] => layers.filter(({ name }) => pattern.test(name));
  const head = named(/^lm_head$/)[0] ?? named(/^model\.embed_tokens$/)[0];
  const qkv = named(/^model\.layers\.self_attn\.qkv_proj$/)[0];
  const out = named(/^model\.layers\.self_attn\.o_proj$/)[0];
  const vision_out = named(/^visual\.blocks\.attn\.proj$/)[0];
  if (head === undefined || qkv === undefined || out === undefined || vision_out === undefined)
    throw new UserError(
      "MODEL_UNSUPPORTED",
      `${file}: the operations of model_type ${JSON.stringify(config["model_type"])} are not counted, so no share of a limit can be given`,
      "Counted are Qwen's vision-language families.",
    );
  const vision = parseAs(visionSchema, config["vision_config"], file);
  const { patch_size, spatial_merge_size: merge, window_size, fullatt_block_indexes = [] } = vision;
  const full_blocks = window_size === undefined ? vision_out.count : fullatt_block_indexes.length;
  return {
    patch_layers: named(/^visual\.(patch_embed|blocks)\./),
    image_token_layers: named(/^visual\..*merger/),
    token_layers: named(/^model\.layers\./),
    head: { ...head, name: "head" },
    vision_attention: {
      ...{ width: vision_out.inputs, full_blocks, window_blocks: vision_out.count - full_blocks },
      window_side: window_size === undefined ? 1 : Math.floor(window_size / merge / patch_size) * merge,
    },
    attention: { width: out.inputs, kv_width: (qkv.outputs - out.inputs) / 2, blocks: qkv.count },
  };
}

/** Matrices by name and size; those that read the same input are one layer, as the engine stores them. */
function linearLayers(shapes: TensorShapes): readonly LinearLayer[] {
  const rows = new Map<string, { name: string; inputs: number; outputs: number }>();
  for (const [tensor, [outputs = 0, ...rest]] of shapes) {
    if (rest.length === 0 || !tensor.endsWith(".weight") || tensor.includes("pos_embed")) continue;
    const place = tensor
      .replace(/^model\.language_model\./, "model.")
      .replace(/^model\.visual\./, "visual.")
      .replace(/\.weight$/, "")
      .replace(/\.[qkv]_proj$/, ".qkv_proj")
      .replace(/\.(gate|up)_proj$/, ".gate_up_proj");
    const inputs = rest.reduce((product, length) => product * length);
    const before = rows.get(place)?.outputs ?? 0;
    rows.set(place, { name: place.replace(/\.\d+\./, "."), inputs, outputs: before + outputs });
  }
  const layers = new Map<string, LinearLayer>();
  for (const { name, inputs, outputs } of rows.values()) {
    const key = `${name} ${inputs} ${outputs}`;
    layers.set(key, { name, inputs, outputs, count: (layers.get(key)?.count ?? 0) + 1 });
  }
  return [...layers.values()];
}
