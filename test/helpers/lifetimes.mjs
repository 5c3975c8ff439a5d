// Engines that come and go, in a process of its own: node lifetimes.mjs <what> <model folder> <times>. Runs on dist/ and
// ends with a line of JSON that says what was seen.
import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { URL, pathToFileURL } from "node:url";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

const { loadProcessor, openEngine, promptBatch } = await import(pathToFileURL(resolve("dist/index.js")).href);

const [what = "", model_path = "", times = "1"] = isMainThread ? process.argv.slice(2) : ["", workerData.model];
const { image_processor } = await loadProcessor(model_path);

function open() {
  return openEngine({
    ...{ model_path, image_processor, reference_path: null, with_reference: false },
    trainable: { train_vision_tower: true, train_connector: true, train_language_model: true },
    algorithm: { name: "supervised", loss_aggregation: "token_mean", max_completion_tokens: 8 },
    optimizer: {
      ...{ learning_rate: 1e-3, beta1: 0.9, beta2: 0.9, epsilon: 1e-8, weight_decay: 0, max_grad_norm: 1 },
      ...{ schedule: "constant", warmup_steps: 0, total_steps: 1, min_learning_rate_ratio: 0 },
    },
    ...{ completions_per_update: 8, tokens_per_microbatch: 1000, update_epochs: 1, seed: 0, threads: 2 },
    ...{
      dtype: "float32",
      activation_checkpointing: false,
      pack_weights: true,
      deterministic: "run",
      image_cache_bytes: 2 ** 26,
    },
  });
}
const prompts = promptBatch([{ prompt_id: 0, sample_id: "a", token_ids: Int32Array.of(5, 6, 7), image_ids: [] }]);
/** Stops at no token: every completion runs to its limit. @param {number} max_completion_tokens */
const sampling = (max_completion_tokens) => ({
  ...{ temperature: 1, top_k: 0, top_p: 1, max_completion_tokens, stop_token_ids: [], seed: 0, step: 0 },
  ...{ max_concurrent_completions: 16, kv_block_size: 16, stream: false },
});

const count = (/** @type {string} */ folder) => (process.platform === "linux" ? readdirSync(folder).length : 0);
const use = () => ({
  rss_mib: process.memoryUsage().rss / 2 ** 20,
  files: count("/proc/self/fd"),
  threads: count("/proc/self/task"),
});

/** @type {Record<string, (times: number) => Promise<object>>} */
const tasks = {
  /** Opened, used and closed again and again: what is held after a tenth of the times, and at the end. */
  async cycles(times) {
    let warm = use();
    for (let i = 0; i < times; i++) {
      const engine = await open();
      if (i % 10 === 0) await engine.generate(prompts, 2, sampling(2));
      await engine.close();
      if (i === Math.floor(times / 10)) warm = use();
    }
    return { warm, end: use() };
  },

  /** Workers that are ended while their engine samples; the main thread's own engine goes on. */
  async workers(times) {
    const engine = await open();
    const expected = await engine.generate(prompts, 2, sampling(6));
    let same = 0;
    for (let i = 0; i < times; i++) {
      const worker = new Worker(new URL(import.meta.url), { workerData: { model: model_path } });
      await new Promise((started, failed) => worker.once("message", started).once("error", failed));
      await sleep((i * 37) % 120);
      const [again] = await Promise.all([engine.generate(prompts, 2, sampling(6)), worker.terminate()]);
      if (String(again.getChild("token_ids")) === String(expected.getChild("token_ids"))) same += 1;
    }
    await engine.close();
    return { same };
  },

  /** Rollouts whose completions never stop. */
  async endless(times) {
    const engine = await open();
    const seen = [];
    for (let i = 0; i < times; i++) {
      const rollouts = await engine.generate(prompts, 24, sampling(60));
      const reasons = [...rollouts.getChild("finish_reason")];
      const lengths = [...rollouts.getChild("token_ids")].map((row) => row.length - 3);
      const { kv_cache_bytes } = await engine.memory();
      seen.push({ cut_off: reasons.filter((reason) => reason === "length").length, lengths, kv_cache_bytes, ...use() });
    }
    await engine.close();
    return { seen };
  },
};

if (isMainThread) {
  console.log(JSON.stringify(await tasks[what]?.(Number(times))));
} else {
  const engine = await open();
  const sampled = engine.generate(prompts, 64, sampling(1500));
  parentPort?.postMessage("started");
  await sampled;
}
