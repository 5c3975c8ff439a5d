/** A model folder with the true names and shapes of a published Qwen2.5-VL, and no weights: its file is a hole of the right size. */
/* global Buffer */
import { copyFileSync, openSync, closeSync, ftruncateSync, mkdtempSync, readFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** @param {string} preset a folder of configs/models @returns {string} the new folder */
export function presetFolder(preset) {
  const source = join(import.meta.dirname, "..", "..", "configs", "models", preset, "config.json");
  const folder = mkdtempSync(join(tmpdir(), `sightloop-${preset}-`));
  copyFileSync(source, join(folder, "config.json"));
  const tensors = tensorsOf(JSON.parse(readFileSync(source, "utf8")));
  let offset = 0;
  /** @type {Record<string, object>} */
  const header = {};
  for (const [name, shape] of tensors) {
    const bytes = 2 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: "BF16", shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  const file = openSync(join(folder, "model.safetensors"), "w");
  writeSync(file, size);
  writeSync(file, text);
  ftruncateSync(file, 8 + text.length + offset);
  closeSync(file);
  return folder;
}

/** @param {any} config @returns {readonly (readonly [string, readonly number[]])[]} */
function tensorsOf(config) {
  const { hidden_size: width, intermediate_size: inner, vocab_size, num_hidden_layers } = config;
  const kv_width = (width / config.num_attention_heads) * config.num_key_value_heads;
  const vision = config.vision_config;
  const patches = vision.temporal_patch_size * vision.in_chans * vision.patch_size ** 2;
  const merged = vision.hidden_size * vision.spatial_merge_size ** 2;
  const tower = (/** @type {number} */ i) => `visual.blocks.${i}`;
  const block = (/** @type {number} */ i) => `model.layers.${i}`;
  const blocks = (/** @type {number} */ count) => Array.from({ length: count }, (_, i) => i);
  return [
    ["model.embed_tokens.weight", [vocab_size, width]],
    ...(config.tie_word_embeddings ? [] : [/** @type {const} */ (["lm_head.weight", [vocab_size, width]])]),
    ["model.norm.weight", [width]],
    ...blocks(num_hidden_layers).flatMap(
      (i) =>
        /** @type {[string, number[]][]} */ ([
          [`${block(i)}.input_layernorm.weight`, [width]],
          [`${block(i)}.post_attention_layernorm.weight`, [width]],
          [`${block(i)}.self_attn.q_proj.weight`, [width, width]],
          [`${block(i)}.self_attn.k_proj.weight`, [kv_width, width]],
          [`${block(i)}.self_attn.v_proj.weight`, [kv_width, width]],
          [`${block(i)}.self_attn.o_proj.weight`, [width, width]],
          [`${block(i)}.mlp.gate_proj.weight`, [inner, width]],
          [`${block(i)}.mlp.up_proj.weight`, [inner, width]],
          [`${block(i)}.mlp.down_proj.weight`, [width, inner]],
        ]),
    ),
    ["visual.patch_embed.proj.weight", [vision.hidden_size, patches]],
    ["visual.merger.mlp.0.weight", [merged, merged]],
    ["visual.merger.mlp.2.weight", [vision.out_hidden_size, merged]],
    ...blocks(vision.depth).flatMap(
      (i) =>
        /** @type {[string, number[]][]} */ ([
          [`${tower(i)}.attn.qkv.weight`, [3 * vision.hidden_size, vision.hidden_size]],
          [`${tower(i)}.attn.proj.weight`, [vision.hidden_size, vision.hidden_size]],
          [`${tower(i)}.mlp.gate_proj.weight`, [vision.intermediate_size, vision.hidden_size]],
          [`${tower(i)}.mlp.up_proj.weight`, [vision.intermediate_size, vision.hidden_size]],
          [`${tower(i)}.mlp.down_proj.weight`, [vision.hidden_size, vision.intermediate_size]],
        ]),
    ),
  ];
}
