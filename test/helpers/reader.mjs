// A process that reads what it is told to, a line of JSON a case, and answers each by a line: what a program sees that uses
// the package. If it dies, the case that killed it is the one without an answer. Runs on dist/.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { join, resolve } from "node:path";

/** @param {string} path below dist/ */
const load = (path) => import(pathToFileURL(resolve("dist", path)).href);
const [{ openEngine }, { loadAddon }, { loadProcessor }, { buildPrompts }, { loadConfig }, { trainConfigSchema }] =
  await Promise.all(
    [
      "engine/native-engine.js",
      "engine/addon.js",
      "pipeline/data/processor.js",
      "pipeline/data/prompts.js",
      "config/load.js",
      "config/schema.js",
    ].map(load),
  );
const { openDataset } = await load("datasets/registry.js");
const { UserError } = await load("errors.js");
const { openRunFolder } = await load("reports/run-folder.js");

/** @param {string} model_path @param {any} processor */
const options = (model_path, processor) => ({
  model_path,
  reference_path: null,
  with_reference: false,
  image_processor: processor.image_processor,
  trainable: { train_vision_tower: true, train_connector: true, train_language_model: true },
  algorithm: { name: "supervised", loss_aggregation: "token_mean", max_completion_tokens: 8 },
  optimizer: {
    ...{ learning_rate: 1e-3, beta1: 0.9, beta2: 0.9, epsilon: 1e-8, weight_decay: 0, max_grad_norm: 1 },
    ...{ schedule: "constant", warmup_steps: 0, total_steps: 1, min_learning_rate_ratio: 0 },
  },
  ...{ completions_per_update: 8, tokens_per_microbatch: 1000, update_epochs: 1, seed: 0, threads: 1 },
  ...{
    dtype: "float32",
    activation_checkpointing: false,
    pack_weights: true,
    deterministic: "run",
    image_cache_bytes: 2 ** 26,
  },
});
const sampling = {
  ...{ temperature: 1, top_k: 5, top_p: 0.9, max_completion_tokens: 3, stop_token_ids: [], seed: 0, step: 0 },
  ...{ max_concurrent_completions: 4, kv_block_size: 4, stream: false },
};

/** @param {string} folder of a model @param {string} [adapter] a folder, too */
async function open(folder, adapter) {
  const processor = await loadProcessor(folder);
  const lora = adapter === undefined ? null : { path: adapter };
  return { processor, engine: await openEngine({ ...options(folder, processor), lora }) };
}
/** @type {Promise<any>} of the model that is whole, opened once */
let whole;

/** @param {any} opened @param {string} image a path */
async function answer({ processor, engine }, image) {
  const sample = { id: "s", question: "total <image>?", answer: "5", images: [{ path: image }] };
  const prompts = await buildPrompts(engine, processor, [{ prompt_id: 0, sample }], { max_prompt_tokens: 2000 });
  const rollouts = await engine.generate(prompts, 2, sampling);
  processor.decode([...rollouts.getChild("token_ids").get(0)], { skip_special_tokens: true });
}

const arrays = { Int32Array, Float32Array, Uint8Array, BigInt64Array, Float64Array };

/** @param {Record<string, any>} columns typed arrays as [name, values] @returns {Record<string, any>} */
const typed = (columns) =>
  Object.fromEntries(
    Object.entries(columns).map(([name, value]) => {
      if (!Array.isArray(value) || !(value[0] in arrays)) return [name, value];
      const [kind, values] = value;
      if (kind === "BigInt64Array") return [name, BigInt64Array.from(values, BigInt)];
      return [name, arrays[/** @type {"Int32Array"} */ (kind)].from(values)];
    }),
  );

/** @type {Record<string, (request: any) => Promise<void>>} */
const kinds = {
  async model({ folder, adapter, image }) {
    const opened = await open(folder, adapter);
    try {
      await answer(opened, image);
    } finally {
      await opened.engine.close();
    }
  },
  async image({ model, image }) {
    whole ??= open(model);
    await answer(await whole, image);
  },
  async jsonl({ path }) {
    const dataset = await openDataset({ name: "jsonl", path, ignore_keys: [] }, { base_folder: "." });
    for (let i = 0; i < dataset.length; i++) await dataset.get(i);
  },
  async yaml({ path }) {
    await loadConfig(trainConfigSchema, path);
  },
  async run({ folder, config, model }) {
    const record = await openRunFolder({ folder, config, manifest: {}, resume: true, keep: { last: 0, best: 0 } });
    try {
      whole ??= open(model);
      const { engine } = await whole;
      if (record.resumed !== undefined) await engine.loadState(join(record.resumed.folder, "state"));
    } finally {
      await record[Symbol.asyncDispose]();
    }
  },
  /** The columns of a batch, given to the addon as they are. */
  async columns({ model, columns, scores }) {
    whole ??= open(model);
    const addon = loadAddon();
    const { engine: handle } = await addon.openEngine(JSON.stringify(options(model, (await whole).processor)));
    const batch = typed(columns);
    const outcomes = await Promise.allSettled([
      (async () => addon.score(handle, batch, "policy", 1, null))(),
      (async () => addon.advantages(handle, batch, typed(scores)))(),
      (async () => addon.update(handle, batch, 1, 0, null))(),
      (async () => {
        const session = await addon.rolloutOpen(handle, JSON.stringify(sampling));
        await addon.rolloutAdd(session, batch, 1);
        while ((await addon.rolloutAdvance(session, null)).length > 0);
        await addon.rolloutCollect(session);
      })(),
    ]);
    await addon.closeEngine(handle);
    const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
    const bug = failures.find((error) => !(error instanceof TypeError) && !["CHECK", "DIVERGED"].includes(error.code));
    if (bug !== undefined) throw bug;
    const [refusal] = failures; // what the engine's verbs make of it
    if (refusal !== undefined) throw new UserError("BATCH_INVALID", refusal.message, "Give whole batches.");
  },
};

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  /** @type {object} */
  let outcome = { works: true };
  try {
    await kinds[request.kind]?.(request);
  } catch (error) {
    const { name, code, message, hint, stack } = /** @type {any} */ (error);
    outcome = { works: false, name, code, message, hint, stack };
  }
  console.log(JSON.stringify(outcome));
}
