import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { initFolder } from "../../src/cli/init-model.js";
import type { DecodedImage } from "../../src/engine/engine.js";
import { below, pick, type Random } from "./mutate.js";

const preset = "configs/models/fashion_grid_tiny";
const files = ["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json"];

interface Config {
  text_config: Record<string, unknown>;
  vision_config: Record<string, unknown>;
  tie_word_embeddings: boolean;
  readonly image_token_id: number;
}

/** Positive whole numbers that sum to `total`. */
function parts(random: Random, total: number, count: number): number[] {
  const sizes = Array.from({ length: count }, () => 1);
  for (let left = total - count; left > 0; left--) sizes[below(random, count)]! += 1;
  return sizes;
}

/** A folder with a Qwen2.5-VL of random proportions and weights: layers, heads, widths, window, rotary sections, tying. */
export async function randomModel(
  random: Random,
  folder: string,
): Promise<{ readonly sizes: string; readonly image_token_id: number }> {
  const config = JSON.parse(readFileSync(join(preset, "config.json"), "utf8")) as Config;
  const kv_heads = pick(random, [1, 2, 3]);
  const heads = kv_heads * pick(random, [1, 2, 4]);
  const head_width = pick(random, [8, 12, 16, 26]);
  const width = heads * head_width;
  const tied = random() < 0.5;
  const vision_heads = pick(random, [1, 2, 4]);
  const depth = 1 + below(random, 3);
  const text = {
    ...{ hidden_size: width, num_attention_heads: heads, num_key_value_heads: kv_heads, tie_word_embeddings: tied },
    ...{ num_hidden_layers: 1 + below(random, 3), intermediate_size: 16 + below(random, 100), initializer_range: 0.1 },
    rope_parameters: {
      ...{ rope_type: "default", rope_theta: pick(random, [10, 10_000, 1_000_000]) },
      mrope_section: parts(random, head_width / 2, 3),
    },
  };
  const vision = {
    ...{
      depth,
      hidden_size: 4 * vision_heads * (1 + below(random, 6)),
      num_heads: vision_heads,
      out_hidden_size: width,
    },
    ...{ intermediate_size: 8 + below(random, 60), window_size: pick(random, [28, 56, 84, 112]) },
    fullatt_block_indexes: Array.from({ length: depth }, (_, i) => i).filter(() => random() < 0.4),
  };
  Object.assign(config.text_config, text);
  Object.assign(config.vision_config, vision);
  config.tie_word_embeddings = tied;
  const source = `${folder}-source`;
  mkdirSync(source, { recursive: true });
  writeFileSync(join(source, "config.json"), JSON.stringify(config));
  for (const name of [...files, "chat_template.jinja", "generation_config.json"])
    copyFileSync(join(preset, name), join(source, name));
  await initFolder(source, folder, below(random, 1e6));
  return { sizes: JSON.stringify({ text, vision }), image_token_id: config.image_token_id };
}

export function randomImage(random: Random, id: string): DecodedImage {
  const [height, width] = [20 + below(random, 90), 20 + below(random, 90)];
  return { id, height, width, rgb: Uint8Array.from({ length: height * width * 3 }, () => below(random, 256)) };
}
