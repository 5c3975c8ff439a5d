// A run folder as training writes it, by the writers that training uses, with invented contents: for what reads runs.
// Runs on dist/.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { createHash } from "node:crypto";
import sharp from "sharp";

/** @param {string} file @returns {Promise<any>} */
const built = (file) => import(pathToFileURL(resolve("dist", file)).href);
const columns = await built("batches/columns.js");
const { openRunFolder } = await built("reports/run-folder.js");
const { manifest } = await built("reports/manifest.js");
const { loadTokenizer } = await built("pipeline/data/tokenizer.js");

export const model_folder = resolve("configs/models/fashion_grid_tiny");
const tokenizer = await loadTokenizer(model_folder);

/** @param {number} seed 32 bits of state, uniform in [0, 1) */
function randomFrom(seed) {
  let state = (seed * 2654435761) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const goods = ["shirt", "boot", "bag", "coat", "dress", "sandal"];

/** @type {{ id: string, bytes: Uint8Array }[]} */
const images = [];
for (let i = 0; i < 4; i++) {
  const background = { r: 60 * i + 40, g: 200 - 40 * i, b: 90 + 30 * i };
  const bytes = await sharp({ create: { width: 56, height: 56, channels: 3, background } })
    .png()
    .toBuffer();
  images.push({ id: createHash("sha256").update(bytes).digest("hex"), bytes });
}

/**
 * @typedef {object} Options
 * @property {number} [seed]
 * @property {number} [steps]
 * @property {number} [prompts]
 * @property {number} [completions] of a prompt
 * @property {number} [padding] prompt tokens beyond the few that the texts need
 * @property {number} [words] of a completion, about
 * @property {object} [config] over the default config
 * @property {number} [from_step] the first step that is written
 * @property {number} [total_steps] that the config asks for
 */

/** @param {string} folder @param {Options} [options] */
export async function writeSyntheticRun(folder, options = {}) {
  const { seed = 0, steps = 10, total_steps = steps } = options;
  const writer = await openSyntheticRun(folder, { ...options, total_steps });
  for (let step = 1; step <= steps; step++) await writer.step(step);
  await writer.close();
  return { folder, seed };
}

/** The same, step by step, as a run that is still going on. @param {string} folder @param {Options} [options] */
export async function openSyntheticRun(folder, options = {}) {
  const { seed = 0, prompts = 4, completions = 4, padding = 0, words = 6, total_steps = 10, config = {} } = options;
  const random = randomFrom(seed + 1);
  const record = await openRunFolder({
    folder,
    config: {
      ...{ seed, steps: total_steps, model: { path: model_folder }, algorithm: { name: "grpo" } },
      ...{ prompts_per_step: prompts, completions_per_prompt: completions, run_folder: folder },
      optimizer: { learning_rate: 1e-4 },
      ...config,
    },
    manifest: await manifest(seed, { training_samples: 100 }),
    resume: false,
    keep_last: 1,
  });
  await evaluated(0);

  /** @param {number} step */
  async function evaluated(step) {
    const accuracy = 0.2 + 0.6 * (step / total_steps) + 0.05 * random();
    const result = { setting: "greedy", num_items: 500, completions_per_prompt: 1, accuracy, pass_at: { 1: accuracy } };
    const rest = {
      interval: [accuracy - 0.04, accuracy + 0.04],
      mean_completion_length: 9 + step / 10,
      truncated: 0.01,
    };
    await record.evaluated(step, "validation", [{ ...result, ...rest }]);
  }

  /** @param {number} step */
  function batchOf(step) {
    const right = 0.2 + 0.6 * (step / total_steps);
    /** @type {{ id: number, index: number, prompt: number[], completion: number[], text: string, answer: string, correct: number, truncated: boolean }[]} */
    const rows = [];
    for (let p = 0; p < prompts; p++) {
      const answer = String(Math.floor(90 * random()) + 10);
      const prompt = [...tokenizer.encode("total?"), ...Array(padding).fill(1)];
      for (let index = 0; index < completions; index++) {
        const correct = random() < right ? 1 : 0;
        const truncated = random() < 0.1;
        const parts = Array.from({ length: 1 + Math.floor(words * random()) }, () => goods[Math.floor(6 * random())]);
        const doubt = random() < 0.2 ? " wait, check again." : "";
        const text = `<think>${parts.join(" ")}.${doubt}</think> ${correct ? answer : Number(answer) + 1}`;
        const encoded = tokenizer.encode(text);
        const completion = Array.from({ length: 4 + 2 * parts.length }, (_, i) => encoded[i] ?? 1);
        rows.push({ id: step * prompts + p, index, prompt, completion, text, answer, correct, truncated });
      }
    }
    const offsets = columns.offsetsOf(rows.map((row) => ({ length: row.prompt.length + row.completion.length })));
    const total = offsets[rows.length];
    const bits = new Uint8Array(Math.ceil(total / 8));
    const tokens = new Int32Array(total);
    const floats = () => new Float32Array(total);
    const [logprobs, policy, advantages] = [floats(), floats(), floats()];
    rows.forEach((row, r) => {
      tokens.set([...row.prompt, ...row.completion], offsets[r]);
      row.completion.forEach((_, i) => {
        const at = offsets[r] + row.prompt.length + i;
        bits.set([(bits[at >> 3] ?? 0) | (1 << (at & 7))], at >> 3);
        logprobs[at] = -3 * random() ** 3;
        policy[at] = logprobs[at] + 0.02 * (random() - 0.5);
        advantages[at] = row.correct ? 0.8 : -0.6;
      });
    });
    /** @param {Float32Array} values */
    const perToken = (values) => columns.listColumn(offsets, columns.float32Column(values));
    // Of its own for each: apache-arrow's writer leaves out a buffer that it has written before, and shifts the rest.
    const rewards = () => columns.float32Column(Float32Array.from(rows, (row) => row.correct));
    const trajectories = columns.recordBatch(
      {
        prompt_id: columns.int64Column(BigInt64Array.from(rows, (row) => BigInt(row.id))),
        sample_index: columns.int32Column(Int32Array.from(rows, (row) => row.index)),
        sample_id: columns.utf8Column(rows.map((row) => `sample-${row.id}`)),
        policy_version: columns.int32Column(new Int32Array(rows.length).fill(step - 1)),
        image_ids: columns.utf8ListColumn(rows.map((row) => [images[row.id % images.length]?.id])),
        token_ids: columns.listColumn(offsets, columns.int32Column(tokens)),
        completion_mask: columns.listColumn(offsets, columns.boolColumn(bits, total)),
        rollout_logprobs: perToken(logprobs),
        finish_reason: columns.utf8Column(rows.map((row) => (row.truncated ? "length" : "stop"))),
        policy_logprobs: perToken(policy),
        reward: rewards(),
        reward_breakdown: columns.structColumn({ accuracy: rewards() }, rows.length),
        advantages: perToken(advantages),
      },
      rows.length,
    );
    const texts = rows.map((row) => ({ prompt: "What is the total?", completion: row.text, answer: row.answer }));
    return { rows, trajectories, texts };
  }

  return {
    /** @param {number} step */
    async step(step) {
      const { rows, trajectories, texts } = batchOf(step);
      const reward_mean = rows.reduce((sum, row) => sum + row.correct, 0) / rows.length;
      const seconds = { data_seconds: 0.05, rollout_seconds: 0.2 + 0.05 * random(), grading_wait_seconds: 0.01 };
      const update = { update_seconds: 0.3, forward_seconds: 0.1, backward_seconds: 0.15, optimizer_seconds: 0.03 };
      await record.step({
        step,
        metrics: {
          ...{ prompts_seen: step * prompts, reward_mean, "reward.accuracy": reward_mean, reward_std: 0.4 },
          ...{
            completion_length_mean: 9 + step / 50 + random(),
            truncated: 0.1 * random(),
            entropy: 1 / step + 0.1 * random(),
          },
          ...{
            loss: 0.01 * (random() - 0.5),
            kl_reference: 0.001 * step * random(),
            grad_norm: 1 + random(),
            learning_rate: 1e-4,
          },
          ...seconds,
          ...update,
          ...{
            trajectory_seconds: 0.1,
            step_seconds: 0.7,
            rollout_tokens_per_second: 9000 + 500 * random(),
            rss_bytes: 1e9,
            peak_rss_bytes: 1.2e9,
          },
        },
        trajectories,
        texts,
        images: images.map(({ id, bytes }) => ({ id, read: async () => bytes })),
      });
      if (step % 10 === 0 || step === total_steps) await evaluated(step);
    },
    close: () => record[Symbol.asyncDispose](),
  };
}
