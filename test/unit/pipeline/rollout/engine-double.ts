import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  boolColumn,
  columnData,
  flatValues,
  float32Column,
  int32Column,
  int64Column,
  listColumn,
  listValues,
  offsetsOf,
  recordBatch,
  stringLists,
  strings,
  structColumn,
  utf8Column,
  utf8ListColumn,
  withColumns,
} from "../../../../src/batches/columns.js";
import type { PromptBatch } from "../../../../src/batches/prompt.js";
import type { RolloutBatch, Scores } from "../../../../src/batches/rollout.js";
import type { TrajectoryBatch } from "../../../../src/batches/trajectory.js";
import type {
  Completion,
  Dtype,
  Engine,
  ImageGrid,
  RolloutSession,
  UpdateStats,
} from "../../../../src/engine/engine.js";
import { writeSafetensors } from "../../../helpers/checkpoints.js";

export interface DoubleOptions {
  /** Order in which completions arrive, given their number. */
  readonly arrival?: (count: number) => readonly number[];
  /** Added to every scored log-prob. */
  readonly score_error?: number;
  readonly dtype?: Dtype;
  readonly loss?: number;
  /** More numbers that an update reports. */
  readonly stats?: Readonly<Record<string, number>>;
  /** Called before every completion that the session hands out. */
  readonly onCompletion?: (index: number) => void | Promise<void>;
}

const hash = (...words: number[]): number =>
  words.reduce((state, word) => Math.imul(state ^ (word | 0), 0x9e3779b1) ^ (state >>> 15), 0x2545f491) >>> 0;

/**
 * An engine without a model: tokens follow from (seed, step, prompt, sample, weight) and an update moves the one
 * weight by the rewards it sees. Everything that TypeScript does around the real engine can be watched with it.
 */
export class EngineDouble {
  weight = 1;
  optimizer_step = 0;
  num_prunes = 0;
  readonly calls: string[] = [];
  readonly options: DoubleOptions;
  readonly grids = new Map<string, ImageGrid>();

  constructor(options: DoubleOptions = {}) {
    this.options = options;
  }

  get engine(): Engine {
    return this as unknown as Engine;
  }

  get model() {
    return { num_parameters: 1, num_trainable_parameters: 1, dtype: this.options.dtype ?? "float32" };
  }

  async addImages(images: readonly { id: string }[]): Promise<readonly ImageGrid[]> {
    return images.map(({ id }) => {
      const grid: ImageGrid = { id, image_grid_thw: [1, 2, 2], num_tokens: 1 };
      this.grids.set(id, grid);
      return grid;
    });
  }

  imageGrid(id: string): ImageGrid | undefined {
    return this.grids.get(id);
  }

  async pruneImages(): Promise<void> {
    this.num_prunes += 1;
  }

  rollout(
    sampling: { seed: number; step: number; max_completion_tokens: number },
    options: { signal?: AbortSignal } = {},
  ): RolloutSession {
    this.calls.push("rollout");
    const rows: (Completion & { prompt: Int32Array; sample_id: string; image_ids: readonly string[] })[] = [];
    const { signal } = options;
    const { weight } = this;
    const settings = this.options;
    return {
      timings: undefined,
      sampling_margin_min: 0.5,
      add: async (prompts: PromptBatch, completions_per_prompt: number) => {
        const ids = flatValues<BigInt64Array>(prompts, "prompt_id");
        const { offsets, values } = listValues<Int32Array>(prompts, "token_ids");
        for (let row = 0; row < prompts.numRows; row++)
          for (let sample_index = 0; sample_index < completions_per_prompt; sample_index++) {
            const key = hash(sampling.seed, sampling.step, Number(ids[row]), sample_index, Math.round(weight * 1e6));
            const length = 1 + (key % sampling.max_completion_tokens);
            rows.push({
              prompt_id: Number(ids[row]),
              sample_index,
              prompt: values.slice(offsets[row], offsets[row + 1]),
              sample_id: strings(prompts, "sample_id")[row]!,
              image_ids: stringLists(prompts, "image_ids")[row]!,
              token_ids: Int32Array.from({ length }, (_, i) => hash(key, i) % 10),
              rollout_logprobs: Float32Array.from({ length }, (_, i) => -((hash(key, i, 1) % 100) + 1) / 50),
              finish_reason: length === sampling.max_completion_tokens ? "length" : "stop",
            });
          }
      },
      async *[Symbol.asyncIterator]() {
        const order = settings.arrival?.(rows.length) ?? rows.map((_, i) => i);
        for (const [index, row] of order.entries()) {
          await settings.onCompletion?.(index);
          signal?.throwIfAborted();
          yield rows[row]!;
        }
      },
      finish: async () => {
        signal?.throwIfAborted();
        return toBatch(rows);
      },
      [Symbol.asyncDispose]: async () => void this.calls.push("session closed"),
    };
  }

  async score(rollouts: RolloutBatch, which: string, { signal }: { signal?: AbortSignal } = {}): Promise<Scores> {
    this.calls.push(`score ${which}`);
    signal?.throwIfAborted();
    const { offsets, values } = listValues<Float32Array>(rollouts, "rollout_logprobs");
    const shifted = values.map((value) => value + (this.options.score_error ?? 0));
    const logprobs = listColumn(offsets, float32Column(shifted));
    return recordBatch({ logprobs, entropy: logprobs }, rollouts.numRows) as Scores;
  }

  async advantages(
    rollouts: RolloutBatch,
    rewards: { reward: Float32Array; breakdown: Record<string, Float32Array> },
    scores: { policy?: Scores; reference?: Scores },
  ): Promise<TrajectoryBatch> {
    this.calls.push(`advantages${scores.policy ? " policy" : ""}${scores.reference ? " reference" : ""}`);
    const { offsets } = listValues<Int32Array>(rollouts, "token_ids");
    const advantages = new Float32Array(offsets.at(-1)!);
    rewards.reward.forEach((reward, row) => advantages.fill(reward, offsets[row], offsets[row + 1]));
    const breakdown = Object.entries(rewards.breakdown).map(([name, part]) => [name, float32Column(part)]);
    return withColumns(rollouts, {
      policy_logprobs: columnData(rollouts, "rollout_logprobs"),
      reward: float32Column(rewards.reward),
      reward_breakdown: structColumn(Object.fromEntries(breakdown) as never, rollouts.numRows),
      advantages: listColumn(offsets, float32Column(advantages)),
    }) as TrajectoryBatch;
  }

  async update(trajectories: TrajectoryBatch, options: { signal?: AbortSignal } = {}): Promise<UpdateStats> {
    this.calls.push(options.signal === undefined ? "update" : "update with a signal");
    const rewards = flatValues<Float32Array>(trajectories, "reward");
    rewards.forEach((reward, row) => (this.weight += (reward * (row + 1)) / 1000));
    this.weight += trajectories.numRows / 1e5;
    this.optimizer_step += 1;
    return {
      ...{
        loss: this.options.loss ?? this.weight,
        policy_loss: 0,
        kl_reference: 0,
        kl_old_policy: 0,
        ...{ clip_fraction: 0, clip_fraction_low: 0, clip_fraction_high: 0, dual_clip_fraction: 0 },
      },
      ...{ entropy: 1, ratio_max: 1, grad_norm: 1, learning_rate: 0.1, optimizer_step: this.optimizer_step },
      ...{
        skipped_updates: 0,
        divergences: [],
        clamped_log_ratios: 0,
        skipped_completions: 0,
        completion_tokens: 1,
        computed_tokens: 1,
      },
      ...{ forward_seconds: 1, backward_seconds: 1, optimizer_seconds: 1, reduce_seconds: 0, ...this.options.stats },
    };
  }

  async memory() {
    return { weights_bytes: 4, optimizer_bytes: 0, rss_bytes: 1, peak_rss_bytes: 2 };
  }

  async saveModel(folder: string): Promise<void> {
    const weight = { shape: [1], data: Float32Array.of(this.weight) };
    writeSafetensors(join(folder, "model.safetensors"), new Map([["weight", weight]]), "F32");
  }

  async saveState(folder: string): Promise<void> {
    await writeFile(join(folder, "state.json"), JSON.stringify([this.weight, this.optimizer_step]));
  }

  async loadState(folder: string): Promise<void> {
    [this.weight, this.optimizer_step] = JSON.parse(await readFile(join(folder, "state.json"), "utf8")) as [
      number,
      number,
    ];
  }

  async close(): Promise<void> {
    this.calls.push("closed");
  }
}

function toBatch(
  rows: readonly (Completion & { prompt: Int32Array; sample_id: string; image_ids: readonly string[] })[],
): RolloutBatch {
  const tokens = rows.map((row) => [...row.prompt, ...row.token_ids]);
  const offsets = offsetsOf(tokens);
  const mask = new Uint8Array(Math.ceil(offsets.at(-1)! / 8));
  const logprobs = new Float32Array(offsets.at(-1)!);
  rows.forEach((row, i) => {
    const start = offsets[i]! + row.prompt.length;
    for (let t = start; t < offsets[i + 1]!; t++) mask[t >> 3]! |= 1 << (t & 7);
    logprobs.set(row.rollout_logprobs, start);
  });
  return recordBatch(
    {
      prompt_id: int64Column(BigInt64Array.from(rows, (row) => BigInt(row.prompt_id))),
      sample_index: int32Column(Int32Array.from(rows, (row) => row.sample_index)),
      sample_id: utf8Column(rows.map((row) => row.sample_id)),
      policy_version: int32Column(new Int32Array(rows.length)),
      image_ids: utf8ListColumn(rows.map((row) => row.image_ids)),
      token_ids: listColumn(offsets, int32Column(Int32Array.from(tokens.flat()))),
      completion_mask: listColumn(offsets, boolColumn(mask, offsets.at(-1)!)),
      rollout_logprobs: listColumn(offsets, float32Column(logprobs)),
      finish_reason: utf8Column(rows.map((row) => row.finish_reason!)),
    },
    rows.length,
  ) as RolloutBatch;
}

export const sampling = {
  ...{ temperature: 1, top_k: 0, top_p: 1, max_completion_tokens: 4, stop_token_ids: [9], seed: 0, step: 1 },
  ...{ max_concurrent_completions: 8, kv_block_size: 16, stream: false },
};
