/**
 * One rank: ten updates from rollouts that every rank records alike.   node rank-updates.mjs <options as JSON>
 * Writes gradients.json (of the first minibatch) and the model into `folder` on rank 0.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { algorithmSchema } from "../../dist/config/algorithms.js";
import { openEngine } from "../../dist/engine/native-engine.js";
import { connect } from "../../dist/ranks/connect.js";
import { engineAlgorithm } from "../../dist/pipeline/engine-algorithm.js";
import { loadProcessor } from "../../dist/pipeline/data/processor.js";
import { buildPrompts } from "../../dist/pipeline/data/prompts.js";
import { datasetSchema, openDataset } from "../../dist/datasets/registry.js";
import { ownRows } from "../../dist/pipeline/shares.js";

/** @type {{ model: string, folder: string, rank: number, world_size: number, port: number, shard_optimizer: boolean, data: object, dtype?: "float32" | "bfloat16", tokens_per_microbatch?: number, shard_parameters?: boolean, activation_checkpointing?: boolean, reduce_bucket_elements?: number, trainable?: import("../../dist/engine/engine.js").TrainableParts, lora?: import("../../dist/engine/engine.js").LoraOptions }} */
const options = JSON.parse(process.argv[2] ?? "{}");
const { model, folder, rank, world_size, port, shard_optimizer, data } = options;
const { dtype = "float32", tokens_per_microbatch = 4096, activation_checkpointing = false } = options;
const { shard_parameters, reduce_bucket_elements, lora } = options;
const { trainable = { train_vision_tower: true, train_connector: true, train_language_model: true } } = options;
const ranks =
  world_size === 1
    ? null
    : await connect({
        ...{ rank, world_size, local_world_size: world_size, port, address: "127.0.0.1", attempt: "0", interface: "" },
        ...{ store_is_launchers: false, rendezvous_timeout_s: 60, collective_timeout_s: 60, liveness_timeout_s: 30 },
        same: {},
        onLost: (error) => {
          console.error(error);
          process.exit(1);
        },
      });
const processor = await loadProcessor(model);
const engine = await openEngine(
  {
    ...{ model_path: model, reference_path: null, with_reference: true, dtype, seed: 0, threads: 1 },
    image_processor: processor.image_processor,
    ...{ trainable, lora },
    algorithm: engineAlgorithm(algorithmSchema.parse({ name: "grpo", kl_loss_coefficient: 0.05 }), 16),
    optimizer: {
      ...{ learning_rate: 1e-4, beta1: 0.9, beta2: 0.95, epsilon: 1e-5, weight_decay: 0.01, max_grad_norm: 1 },
      ...{ schedule: "constant", warmup_steps: 0, total_steps: 100, min_learning_rate_ratio: 0 },
    },
    ...{ completions_per_update: 12, tokens_per_microbatch, update_epochs: 1, shard_optimizer },
    ...{ shard_parameters, reduce_bucket_elements, activation_checkpointing },
    ...{ pack_weights: true, deterministic: "run", image_cache_bytes: 2 ** 28 },
  },
  { ranks: ranks?.handle ?? null },
);
const dataset = await openDataset(datasetSchema.parse(data), { base_folder: "." });
const samples = await Promise.all(
  // One prompt without an image: a rank that holds none must not leave the others waiting.
  Array.from({ length: 6 }, async (_, prompt_id) => {
    const sample = await dataset.get(prompt_id);
    return { prompt_id, sample: prompt_id % 2 === 1 ? { ...sample, images: [] } : sample };
  }),
);
const prompts = await buildPrompts(engine, processor, samples, { max_prompt_tokens: 512 });
const rollouts = await engine.generate(prompts, 4, {
  ...{ temperature: 1, top_k: 0, top_p: 1, max_completion_tokens: 16, stop_token_ids: processor.stop_token_ids },
  ...{ seed: 0, step: 0, max_concurrent_completions: 32, kv_block_size: 8, stream: false },
});
const reward = Float32Array.from({ length: rollouts.numRows }, (_, row) => ((row * 7) % 5) / 4);
const reference = await engine.score(rollouts, "reference");
const trajectories = await engine.advantages(rollouts, { reward, breakdown: {} }, { reference });
const own_rows = ranks === null ? null : ownRows(ranks, rollouts, (id) => id % world_size);
const gradients = await engine.inspectGradients(trajectories, { own_rows });
/** @type {object[]} */
const stats = [];
for (let i = 0; i < 10; i++) stats.push(await engine.update(trajectories, { own_rows }));
const state = join(folder, "state");
if (rank === 0) {
  mkdirSync(state, { recursive: true });
  await engine.saveModel(folder);
  const shown = [...gradients].map(([name, { data }]) => [name, [...data]]);
  writeFileSync(join(folder, "gradients.json"), JSON.stringify(Object.fromEntries(shown)));
  writeFileSync(join(folder, "stats.json"), JSON.stringify(stats));
}
await ranks?.agree({ value: null });
await engine.saveState(state);
const { optimizer_bytes } = await engine.memory();
console.log(JSON.stringify({ optimizer_bytes }));
await engine.close();
await ranks?.leave();
process.exit();
