/**
 * Times steps of Sightloop on a checkpoint of checkpoint.py: the work of trl_steps.py, through the package's own API.
 * Prints one JSON line a step, the first one warm-up, and a last line about the run.
 *   node bench/peer/sightloop-steps.mjs CHECKPOINT --steps N --threads N --trainable all|language_model --foreign CORES
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

/** @type {typeof import("../../src/index.js")} */
const sightloop = await import(pathToFileURL(join(import.meta.dirname, "../../dist/index.js")).href);
const { buildPrompts, loadProcessor, openEngine } = sightloop;
const [prompts_per_step, completions_per_prompt, new_tokens] = [8, 8, 64];
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
    trainable: { type: "string", default: "all" },
    foreign: { type: "string", default: "0.1" },
  },
});
const folder = positionals[0] ?? "";
const [steps, threads, foreign] = [values.steps, values.threads, values.foreign].map(Number);
const train_vision = values.trainable === "all";

/** Busy and stolen seconds of all cores, and those of this process. */
function cpuTimes() {
  const fields = (readFileSync("/proc/stat", "utf8").split("\n")[0] ?? "").split(/\s+/).slice(1).map(Number);
  const busy = [0, 1, 2, 5, 6, 7].reduce((sum, i) => sum + (fields[i] ?? 0), 0) / 100; // ticks of 10 ms
  const { user, system } = process.cpuUsage();
  return { at: performance.now() / 1000, busy, own: (user + system) / 1e6 };
}

/** Cores that the rest of the machine has used since `begin`. @param {ReturnType<typeof cpuTimes>} begin */
function foreignCores(begin) {
  const end = cpuTimes();
  return Math.max(0, (end.busy - begin.busy - (end.own - begin.own)) / Math.max(1e-9, end.at - begin.at));
}

async function waitUntilQuiet() {
  for (let i = 0; i < 120; i++) {
    const begin = cpuTimes();
    await setTimeout(2000);
    if (foreignCores(begin) < (foreign ?? 0)) return;
  }
}

/** @type {{ question: string, image: string }[]} */
const rows = JSON.parse(readFileSync(join(folder, "prompts.json"), "utf8"));
const processor = await loadProcessor(folder);
const engine = await openEngine({
  ...{ model_path: folder, reference_path: null, with_reference: true, image_processor: processor.image_processor },
  ...{ dtype: "float32", activation_checkpointing: false, pack_weights: true, deterministic: "run" },
  trainable: { train_vision_tower: train_vision, train_connector: train_vision, train_language_model: true },
  algorithm: {
    ...{ name: "grpo", advantage_centre: "group", advantage_scale: "group", skip_zero_advantage_groups: false },
    ...{
      clip_ratio_low: 0.2,
      clip_ratio_high: 0.2,
      dual_clip: null,
      log_ratio_clamp: 20,
      loss_aggregation: "token_mean",
    },
    ...{ kl_loss_coefficient: 0.01, kl_loss_estimator: "k3", kl_loss_unbiased: false, kl_reward_coefficient: 0 },
    ...{ kl_reward_estimator: "k1", entropy_coefficient: 0, importance_correction: null },
    max_completion_tokens: new_tokens,
  },
  optimizer: {
    ...{ learning_rate: 1e-6, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0, max_grad_norm: 1 },
    ...{ schedule: "linear", warmup_steps: 0, total_steps: (steps ?? 0) + 1, min_learning_rate_ratio: 0 },
  },
  ...{ completions_per_update: prompts_per_step * completions_per_prompt, tokens_per_microbatch: 2048 },
  ...{ update_epochs: 1, seed: 0, threads: threads ?? 2, image_cache_bytes: 0 },
});

for (let step = 0; step <= (steps ?? 0); step++) {
  await waitUntilQuiet();
  const load = cpuTimes();
  let last = performance.now();
  const lap = () => {
    const seconds = (performance.now() - last) / 1000;
    last += 1000 * seconds;
    return seconds;
  };
  const samples = rows.map(({ question, image }, i) => ({
    prompt_id: step * prompts_per_step + i,
    sample: { id: `${i}`, question, answer: "", images: [{ path: join(folder, image) }] },
  }));
  const prompts = await buildPrompts(engine, processor, samples, { max_prompt_tokens: 4096 });
  const rollouts = await engine.generate(prompts, completions_per_prompt, {
    ...{ temperature: 1, top_k: 0, top_p: 1, max_completion_tokens: new_tokens, stop_token_ids: [] },
    ...{ seed: 0, step, max_concurrent_completions: 64, kv_block_size: 16, stream: false },
  });
  const generate = lap();
  const reference_scores = await engine.score(rollouts, "reference");
  const reference = lap();
  const reward = Float32Array.from({ length: rollouts.numRows }, (_, row) => ((row * 7) % 5) / 50);
  const trajectories = await engine.advantages(rollouts, { reward, breakdown: {} }, { reference: reference_scores });
  await engine.update(trajectories);
  const update = lap();
  const line = { step: generate + reference + update, generate, reference, update, foreign_cores: foreignCores(load) };
  console.log(JSON.stringify(line));
  await engine.pruneImages([]); // the next step decodes, resizes and encodes its pictures again, as new ones would be
}
const { peak_rss_bytes } = await engine.memory();
const { num_trainable_parameters } = engine.model;
console.log(JSON.stringify({ peak_rss_gib: peak_rss_bytes / 2 ** 30, parameters: num_trainable_parameters }));
await engine.close();
