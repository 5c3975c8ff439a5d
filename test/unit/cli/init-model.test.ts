import { cp, mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { initFolder, modelFiles, presetFolder } from "../../../src/cli/init-model.js";
import { loadProcessor } from "../../../src/pipeline/data/processor.js";
import { toBfloat16 } from "../../helpers/checkpoints.js";
import { SafetensorsFile } from "../../helpers/safetensors.js";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "sightloop-init-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

test("every preset is offered; a shared folder is none", async () => {
  const asked = presetFolder({ preset: "qwen_vl" });
  await expect(asked).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    hint: "Presets: fashion_grid_recheck, fashion_grid_tiny, qwen2_5_vl_3b, qwen2_5_vl_7b, qwen2_vl_2b, qwen2_vl_7b.",
  });
});

test("a preset has every file of a model: its own config, and the processor files it shares", async () => {
  const files = await modelFiles(await presetFolder({ preset: "qwen2_5_vl_3b" }));
  expect([...files.keys()].sort()).toEqual([
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
  ]);
  const small = join(root, "small"); // the same with sizes that a test can afford
  for (const [name, path] of files) await cp(path, join(small, name));
  const config = JSON.parse(await readFile(join(small, "config.json"), "utf8")) as Record<string, object>;
  const sizes = { hidden_size: 16, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 2 };
  const vision = { depth: 1, hidden_size: 16, num_heads: 2, intermediate_size: 8, out_hidden_size: 16 };
  const rope_scaling = { type: "mrope", mrope_section: [2, 1, 1] };
  const vision_config = { ...config["vision_config"], ...vision };
  await writeFile(join(small, "config.json"), JSON.stringify({ ...config, ...sizes, rope_scaling, vision_config }));

  const heard: [number, number][] = [];
  const on_progress = (done: number, total: number) => void heard.push([done, total]);
  const output = join(root, "model");
  const { num_parameters, dtype } = await initFolder(small, output, 0, { on_progress });
  expect(dtype).toBe("bfloat16"); // as its config.json says
  expect(heard.at(-1)).toEqual([2 * num_parameters, 2 * num_parameters]);
  expect((await stat(join(output, "model.safetensors"))).size).toBeGreaterThan(2 * num_parameters);

  const processor = await loadProcessor(output);
  expect(processor.stop_token_ids).toEqual([151645, 151643]);
  const text = processor.renderPrompt({ question: "What is this?", num_images: 1 });
  expect(text).toBe(
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n" +
      "<|vision_start|><|image_pad|><|vision_end|>What is this?<|im_end|>\n<|im_start|>assistant\n",
  );
  const ids = processor.encodePrompt(text, [{ num_tokens: 3 }]);
  expect(ids.filter((id) => id === processor.image_token_id).length).toBe(3);
});

test("random weights are the seed's; another dtype rounds them, and config.json says which it is", async () => {
  const source = await presetFolder({ preset: "fashion_grid_tiny" });
  await initFolder(source, join(root, "wide"), 0);
  const weights = new SafetensorsFile(join(root, "wide", "model.safetensors"));
  const values = weights.get("model.embed_tokens.weight").data as Float32Array;
  // By another implementation of Philox and Box-Muller: pairs 0 and 1 of the tensor, deviation 0.06.
  expect([...values.subarray(0, 4)]).toEqual([
    -0.0057876682840287685, 0.054153572767972946, -0.021373679861426353, -0.046048082411289215,
  ]);
  expect(new Set(values).size).toBeGreaterThan(0.99 * values.length);

  await initFolder(source, join(root, "narrow"), 0, { dtype: "bfloat16" });
  const rounded = new SafetensorsFile(join(root, "narrow", "model.safetensors")).get("model.embed_tokens.weight");
  expect(rounded.data as Float32Array).toEqual(values.map(toBfloat16));
  expect(await readFile(join(root, "narrow", "config.json"), "utf8")).not.toContain("float32");
});

test("a file in the way of the new model is refused and kept", async () => {
  await writeFile(join(root, "model"), "mine");
  await expect(
    initFolder(await presetFolder({ preset: "fashion_grid_tiny" }), join(root, "model"), 0),
  ).rejects.toMatchObject({ code: "FILE_NOT_WRITABLE" });
  expect(await readFile(join(root, "model"), "utf8")).toBe("mine");
  expect(await readdir(root)).toEqual(["model"]);
});

test("a folder that cannot be made is the user's to mend, not a bug", async () => {
  await writeFile(join(root, "file"), "");
  const source = await presetFolder({ preset: "fashion_grid_tiny" });
  await expect(initFolder(source, join(root, "file", "model"), 0)).rejects.toMatchObject({
    code: "FILE_NOT_WRITABLE",
    hint: expect.stringContaining("another folder") as string,
  });
});
