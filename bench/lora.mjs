// What training an adapter takes beside training the whole language model: time of a step and peak memory, each variant in
// a process of its own. Same prompts, images and completions for all. Needs `npm run build`.
//   node bench/lora.mjs [--factor 8] [--steps 4] [--tokens-per-microbatch 2048] [--rounds 1]
// The model is preset fashion_grid_tiny with random weights, `factor` times as wide.
/* global AbortController */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const dist = join(import.meta.dirname, "..", "dist");
const { values } = parseArgs({
  options: {
    factor: { type: "string", default: "8" },
    steps: { type: "string", default: "4" },
    "tokens-per-microbatch": { type: "string", default: "2048" },
    rounds: { type: "string", default: "1" },
    measure: { type: "string" },
    model: { type: "string" },
  },
});

/** @param {number} rank @param {object} more */
const lora = (rank, more = {}) => ({ lora: { rank, alpha: 2 * rank, ...more } });
/** @type {Record<string, object>} */
const variants = {
  full: {},
  "lora rank 8": lora(8),
  "lora rank 32": lora(32),
  "lora rank 8, q and v": lora(8, { targets: ["q_proj", "v_proj"] }),
  "full, checkpointing": { activation_checkpointing: true },
  "lora rank 8, checkpointing": { ...lora(8), activation_checkpointing: true },
};

/** @param {number[]} numbers */
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;

if (values.measure !== undefined) {
  const { measureSteps } = await import(join(dist, "bench/bench.js"));
  const sizes = {
    prompts: 8,
    completions: 8,
    new_tokens: 64,
    image: 112,
    images_per_prompt: 1,
    prompt_tokens: undefined,
  };
  const options = {
    trainable: "language_model",
    with_reference: true,
    dtype: "float32",
    activation_checkpointing: false,
  };
  const measured = await measureSteps(
    {
      ...{ ...sizes, ...options, model_path: values.model, steps: Number(values.steps), seed: 0, threads: 0 },
      tokens_per_microbatch: Number(values["tokens-per-microbatch"]),
      ...variants[values.measure],
    },
    new AbortController().signal,
    () => {},
  );
  const { steps, peak_rss_bytes, num_parameters, num_trainable_parameters } = measured;
  console.log(JSON.stringify({ steps, peak_rss_bytes, num_parameters, num_trainable_parameters }));
} else {
  const { initFolder, presetFolder } = await import(join(dist, "cli/init-model.js"));
  const { widenedPreset } = await import(join(dist, "cli/widened-preset.js"));
  const folder = mkdtempSync(join(tmpdir(), "sightloop-lora-"));
  try {
    const preset = await presetFolder({ preset: "fashion_grid_tiny" });
    const source = await widenedPreset(preset, join(folder, "preset"), Number(values.factor));
    const model = join(folder, "model");
    await initFolder(source, model, 0);
    /** @type {Record<string, { steps: Record<string, number>[], peak_rss_bytes: number, num_trainable_parameters: number }[]>} */
    const measured = Object.fromEntries(Object.keys(variants).map((name) => [name, []]));
    for (let round = 0; round < Number(values.rounds); round++)
      for (const name of Object.keys(variants)) {
        const args = [import.meta.filename, ...process.argv.slice(2), "--measure", name, "--model", model];
        const { status, stdout } = spawnSync(process.execPath, args, {
          stdio: ["ignore", "pipe", "inherit"],
          encoding: "utf8",
        });
        if (status !== 0) throw new Error(`"${name}" failed`);
        measured[name]?.push(JSON.parse(stdout));
      }
    console.log(
      "| variant | trained | step, s | rollout | reference | update | peak RSS, GiB |\n|---|---|---|---|---|---|---|",
    );
    for (const [name, runs] of Object.entries(measured)) {
      /** @param {string} phase */
      const seconds = (phase) =>
        median(runs.flatMap(({ steps }) => steps.map((step) => step[phase] ?? NaN))).toFixed(3);
      const peak = Math.max(...runs.map(({ peak_rss_bytes }) => peak_rss_bytes)) / 2 ** 30;
      const trained = ((runs[0]?.num_trainable_parameters ?? NaN) / 1e6).toFixed(2);
      const times = ["step", "rollout", "score", "update"].map(seconds).join(" | ");
      console.log(`| ${name} | ${trained} M | ${times} | ${peak.toFixed(2)} |`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
