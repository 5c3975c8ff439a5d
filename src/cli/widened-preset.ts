import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Sizes that grow with the width; head width and depth stay. */
const text_sizes = ["hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"];
const vision_sizes = ["hidden_size", "intermediate_size", "num_heads", "out_hidden_size"];

/** Copies a preset with every width of both towers multiplied by `factor`; returns the copy's folder. */
export async function widenedPreset(preset: string, output: string, factor: number): Promise<string> {
  await cp(preset, output, { recursive: true });
  const file = join(output, "config.json");
  const config = JSON.parse(await readFile(file, "utf8")) as Record<string, Record<string, number>>;
  const widen = (part: string, sizes: readonly string[]): void => {
    const section = config[part]!;
    for (const size of sizes) section[size] = section[size]! * factor;
  };
  widen("text_config", text_sizes);
  widen("vision_config", vision_sizes);
  await writeFile(file, JSON.stringify(config, null, 2));
  return output;
}
