import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A preset of 57.7 M parameters: fashion_grid_tiny, widened, with its tokenizer. @param {string} folder */
export function writeWideConfig(folder) {
  cpSync(join(import.meta.dirname, "..", "configs", "models", "fashion_grid_tiny"), folder, { recursive: true });
  const file = join(folder, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8"));
  const layers = 12;
  Object.assign(config.text_config, {
    ...{ hidden_size: 512, num_hidden_layers: layers, num_attention_heads: 8, num_key_value_heads: 2 },
    ...{ intermediate_size: 2048, vocab_size: 8024, initializer_range: 0.02 },
    layer_types: Array.from({ length: layers }, () => "full_attention"),
  });
  config.text_config.rope_parameters.mrope_section = [8, 12, 12];
  Object.assign(config.vision_config, {
    ...{
      depth: 8,
      hidden_size: 256,
      num_heads: 8,
      intermediate_size: 640,
      out_hidden_size: 512,
      initializer_range: 0.02,
    },
  });
  writeFileSync(file, JSON.stringify(config));
}
