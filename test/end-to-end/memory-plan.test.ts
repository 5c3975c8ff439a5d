import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { describe, expect, test } from "vitest";
import { initFolder, presetFolder } from "../../src/cli/init-model.js";
import { type TrainConfig, trainConfigSchema } from "../../src/config/schema.js";
import { encodePng } from "../../src/datasets/fashion-grid/png.js";
import type { MemoryPlan } from "../../src/config/memory-plan.js";
import { sightloop, workspace } from "./support.js";

const place = workspace();
const num_configs = 8;
/** Another one draws other configs. */
const seed = Number(process.env["SIGHTLOOP_SEED"] ?? 1);

/** Uniform draws in [0, 1), the same for the same seed (mulberry32). */
function draws(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Drawn {
  readonly width: number;
  readonly blocks: number;
  readonly kv_heads: number;
  readonly intermediate: number;
  readonly prompt_words: number;
  readonly completions_per_prompt: number;
  readonly max_completion_tokens: number;
  readonly tokens_per_microbatch: number;
  readonly prompts_per_step: number;
  readonly images: number;
  readonly train_vision: boolean;
  readonly with_reference: boolean;
  readonly activation_checkpointing: boolean;
}

/** A run whose activations take some hundred MiB without checkpointing, whatever its shape; a few seconds of work. */
function drawConfig(next: () => number, index: number): Drawn {
  const pick = <T>(...values: readonly T[]): T => values[Math.floor(next() * values.length)]!;
  const width = pick(64, 128, 256);
  const blocks = pick(3, 4, 6);
  const intermediate = width * pick(2, 3, 4);
  const kv_heads = pick(1, width / 64);
  const prompt_words = pick(20, 100, 300);
  const completions_per_prompt = pick(2, 4, 8);
  const max_completion_tokens = pick(16, 32, 64);
  const kept_bytes = 4 * blocks * (7 * width + 3 * intermediate);
  const tokens_per_microbatch = Math.round(((100 + 200 * next()) * 2 ** 20) / kept_bytes);
  const group = prompt_words + completions_per_prompt * max_completion_tokens;
  const prompts_per_step = Math.max(2, Math.ceil((tokens_per_microbatch * pick(0.6, 1.2)) / group));
  return {
    ...{ width, blocks, kv_heads, intermediate, prompt_words, completions_per_prompt, max_completion_tokens },
    ...{ tokens_per_microbatch, prompts_per_step, activation_checkpointing: index % 2 === 1 },
    ...{ images: pick(0, 1), train_vision: pick(false, true), with_reference: pick(false, true) },
  };
}

/** The preset with another language model, and a dataset of long questions. */
async function prepare(drawn: Drawn, folder: string): Promise<TrainConfig> {
  const source = join(folder, "source");
  cpSync(await presetFolder({ preset: "fashion_grid_tiny" }), source, { recursive: true });
  const file = join(source, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8")) as Record<string, Record<string, unknown>>;
  Object.assign(config["text_config"]!, {
    ...{ hidden_size: drawn.width, num_hidden_layers: drawn.blocks, intermediate_size: drawn.intermediate },
    ...{ num_attention_heads: drawn.width / 64, num_key_value_heads: drawn.kv_heads, layer_types: undefined },
    rope_parameters: { rope_type: "default", rope_theta: 1e4, mrope_section: [8, 12, 12] },
  });
  Object.assign(config["vision_config"]!, { out_hidden_size: drawn.width });
  writeFileSync(file, JSON.stringify(config));
  await initFolder(source, join(folder, "model"), seed);
  const rgb = (shade: number): Uint8Array => new Uint8Array(112 * 112 * 3).map((_, i) => (i * shade) % 251);
  const rows = Array.from({ length: 2 * drawn.prompts_per_step }, (_, i) => {
    const image = join(folder, `${i}.png`);
    if (drawn.images > 0) writeFileSync(image, encodePng(rgb(i + 1), 112, 112));
    const question = Array.from({ length: drawn.prompt_words }, () => "total").join(" ");
    return { id: `${i}`, question, answer: "1", solution: "1", image: drawn.images > 0 ? image : null };
  });
  writeFileSync(join(folder, "data.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  const all = drawn.train_vision;
  return trainConfigSchema.parse({
    ...{
      threads: 1,
      steps: 2,
      prompts_per_step: drawn.prompts_per_step,
      completions_per_prompt: drawn.completions_per_prompt,
    },
    completions_per_update: drawn.prompts_per_step * drawn.completions_per_prompt,
    tokens_per_microbatch: drawn.tokens_per_microbatch,
    activation_checkpointing: drawn.activation_checkpointing,
    model: { path: join(folder, "model"), train_vision_tower: all, train_connector: all },
    datasets: { train: { name: "jsonl", path: join(folder, "data.jsonl") } },
    sampling: { max_completion_tokens: drawn.max_completion_tokens, max_concurrent_completions: 128 },
    algorithm: { name: "grpo", kl_loss_coefficient: drawn.with_reference ? 0.01 : 0 },
    optimizer: { learning_rate: 1e-6 },
    rewards: [{ name: "think_format" }],
  });
}

describe(`predicted peak memory, configs of seed ${seed}`, () => {
  const next = draws(seed);
  const configs = Array.from({ length: num_configs }, (_, index) => drawConfig(next, index));
  test.each(configs)(
    "width $width x $blocks blocks, $prompt_words words, $completions_per_prompt x $max_completion_tokens tokens, $tokens_per_microbatch at once, checkpointing: $activation_checkpointing",
    async (drawn) => {
      const folder = place.path(`config-${configs.indexOf(drawn)}`);
      const config = await prepare(drawn, folder);
      writeFileSync(join(folder, "run.yaml"), stringify(config));
      const args = ["train", join(folder, "run.yaml"), "--run-folder", join(folder, "run"), "--json"];
      const { stdout: planned } = await sightloop([...args, "--dry-run"]);
      const { memory: plan } = JSON.parse(planned) as { memory: MemoryPlan };
      const { code, stdout, stderr } = await sightloop(args);
      expect(code, stderr).toBe(0);
      const events = stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as { type: string; metrics?: Record<string, number> });
      const measured = events.filter(({ type }) => type === "step").at(-1)!.metrics!["peak_rss_bytes"]!;
      const ratio = plan.peak_bytes / measured;
      const parts = plan.parts.map(({ name, bytes }) => `${name} ${(bytes / 2 ** 20).toFixed(0)}`).join(", ");
      const said = `${ratio.toFixed(2)}: predicted ${(plan.peak_bytes / 2 ** 20).toFixed(0)} MiB (${plan.peak_phase}: ${parts}), measured ${(measured / 2 ** 20).toFixed(0)} MiB; ${JSON.stringify(drawn)}`;
      if (process.env["SIGHTLOOP_SHOW"] !== undefined) console.log(said);
      expect(ratio, said).toBeGreaterThan(0.8);
      expect(ratio, said).toBeLessThan(1.2);
    },
  );
});

test("train refuses a plan that does not fit before it loads the model, and names what would", async () => {
  const run = {
    ...{ steps: 1, prompts_per_step: 4096, completions_per_prompt: 8, completions_per_update: 32768 },
    ...{ model: { path: place.model }, tokens_per_microbatch: 2 ** 40 },
    datasets: { train: { name: "fashion_grid", count: 8 } },
    sampling: { max_completion_tokens: 1900 },
    ...{ algorithm: { name: "grpo" }, optimizer: { learning_rate: 1e-3 }, rewards: [{ name: "accuracy" }] },
  };
  writeFileSync(place.path("large.yaml"), stringify(run));
  const { code, stdout, stderr } = await sightloop(["train", "large.yaml", "--run-folder", "large"], place.folder);
  expect(code).toBe(2);
  expect(stdout).toBe("");
  expect(stderr).toMatch(
    /error: the run would take about [\d.]+ GiB of memory, in its update phase, and [\d.]+ GiB are/,
  );
  expect(stderr).toMatch(/hint: Lower tokens_per_microbatch to \d+ \(it is 1099511627776\)/);
});
