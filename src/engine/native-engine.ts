import { float32Column, listColumn, structColumn, withColumns } from "../batches/columns.js";
import type { PromptBatch } from "../batches/prompt.js";
import type { RolloutBatch, Scores } from "../batches/rollout.js";
import type { TrajectoryBatch } from "../batches/trajectory.js";
import { type Addon, defaultThreads, type EngineHandle, loadAddon, type StopSource } from "./addon.js";
import { engineDevice } from "./device.js";
import { promptColumns, rolloutColumns, scoresBatch, tokenFloats, trajectoryColumns } from "./columns.js";
import type {
  Activations,
  Cancellable,
  DecodedImage,
  Engine,
  EngineOptions,
  GradientOptions,
  ImageGrid,
  MemoryUse,
  ModelInfo,
  OpenOptions,
  PolicyScores,
  PreparedImage,
  Rewards,
  RolloutSession,
  SamplingOptions,
  UpdateOptions,
  UpdateStats,
} from "./engine.js";
import { EngineImages } from "./engine-images.js";
import { callNative } from "./native-call.js";
import { type Meaning, meanings } from "./native-error.js";
import { NativeRolloutSession } from "./rollout-session.js";

/**
 * Loads a model folder into a new engine with its own thread.
 * @throws UserError CHECKPOINT_INVALID, MODEL_UNSUPPORTED or ADDON_NOT_BUILT; the signal's reason once it is aborted
 */
export async function openEngine(
  options: EngineOptions,
  { signal, on_progress, ranks = null }: OpenOptions = {},
): Promise<Engine> {
  const addon = loadAddon();
  const threads = options.threads > 0 ? options.threads : defaultThreads();
  const settings = JSON.stringify({ ...options, threads, device: deviceOf(options) });
  const open = (stop: StopSource | null) => addon.openEngine(settings, stop, on_progress, ranks);
  const { engine, model } = await callNative(addon, open, meanings.model, { signal });
  return new NativeEngine(addon, engine, model, options);
}

const deviceOf = ({ optimizer, offload_reference, ...options }: EngineOptions): string =>
  engineDevice({ ...options, offloads: optimizer.offload === true || offload_reference === true });

class NativeEngine implements Engine {
  readonly model: ModelInfo;
  readonly #addon: Addon;
  readonly #handle: EngineHandle;
  readonly #images: EngineImages;
  #closed: Promise<void> | undefined;

  constructor(addon: Addon, handle: EngineHandle, model: ModelInfo, options: EngineOptions) {
    this.#addon = addon;
    this.#handle = handle;
    this.model = model;
    this.#images = new EngineImages(addon, handle, options.image_processor);
  }

  addImages(images: readonly DecodedImage[]): Promise<readonly ImageGrid[]> {
    return this.#images.add(images);
  }

  prepareImages(images: readonly DecodedImage[], cut: boolean): Promise<readonly PreparedImage[]> {
    return this.#images.prepare(images, cut);
  }

  addPrepared(images: readonly PreparedImage[]): Promise<void> {
    return this.#images.addPrepared(images);
  }

  imageGrid(id: string): ImageGrid | undefined {
    return this.#images.grid(id);
  }

  pruneImages(keep: readonly string[]): Promise<void> {
    return this.#images.prune(keep);
  }

  rollout(sampling: SamplingOptions, { signal }: Cancellable = {}): RolloutSession {
    const opened = this.#call(
      () => this.#addon.rolloutOpen(this.#handle, JSON.stringify(sampling)),
      meanings.sampling,
      {
        signal,
      },
    );
    const host = {
      addon: this.#addon,
      call: <T>(run: (stop: StopSource | null) => Promise<T>) => this.#call(run, meanings.prompts, { signal }),
    };
    return new NativeRolloutSession(host, opened);
  }

  async generate(
    prompts: PromptBatch,
    completions_per_prompt: number,
    sampling: SamplingOptions,
    options: Cancellable = {},
  ): Promise<RolloutBatch> {
    const session = this.rollout(sampling, options);
    try {
      await session.add(prompts, completions_per_prompt);
      return await session.finish();
    } finally {
      await session[Symbol.asyncDispose]();
    }
  }

  async score(
    rollouts: RolloutBatch,
    which: "policy" | "reference",
    options: Cancellable & { readonly temperature?: number } = {},
  ): Promise<Scores> {
    const columns = rolloutColumns(rollouts);
    const scores = await this.#call(
      (stop) => this.#addon.score(this.#handle, columns, which, options.temperature ?? 1, stop),
      meanings.batch,
      options,
    );
    return scoresBatch(columns.offsets, scores);
  }

  async advantages(rollouts: RolloutBatch, rewards: Rewards, scores: PolicyScores): Promise<TrajectoryBatch> {
    const columns = rolloutColumns(rollouts);
    const policy_logprobs =
      scores.policy === undefined ? columns.rollout_logprobs : tokenFloats(scores.policy, "logprobs");
    const reference_logprobs = scores.reference === undefined ? null : tokenFloats(scores.reference, "logprobs");
    const advantages = await this.#call(
      () =>
        this.#addon.advantages(this.#handle, columns, { reward: rewards.reward, policy_logprobs, reference_logprobs }),
      meanings.batch,
    );
    const perToken = (values: Float32Array) => listColumn(columns.offsets, float32Column(values));
    const breakdown = Object.entries(rewards.breakdown).map(([name, values]) => [name, float32Column(values)] as const);
    return withColumns(rollouts, {
      policy_logprobs: perToken(policy_logprobs),
      ...(reference_logprobs === null ? {} : { reference_logprobs: perToken(reference_logprobs) }),
      reward: float32Column(rewards.reward),
      ...(breakdown.length === 0
        ? {}
        : { reward_breakdown: structColumn(Object.fromEntries(breakdown), rollouts.numRows) }),
      advantages: perToken(advantages),
    }) as TrajectoryBatch;
  }

  update(trajectories: TrajectoryBatch, options: UpdateOptions = {}): Promise<UpdateStats> {
    const columns = trajectoryColumns(trajectories);
    const { temperature = 1, max_consecutive_skips = 0, own_rows = null } = options;
    return this.#call(
      (stop) => this.#addon.update(this.#handle, columns, temperature, max_consecutive_skips, own_rows, stop),
      meanings.batch,
      options,
    );
  }

  updateOrder(groups: number, ahead = 0): Promise<Int32Array> {
    return this.#call(() => this.#addon.updateOrder(this.#handle, groups, ahead), meanings.batch);
  }

  saveModel(folder: string): Promise<void> {
    return this.#call(() => this.#addon.saveModel(this.#handle, folder), meanings.model);
  }

  saveAdapter(folder: string): Promise<void> {
    return this.#call(() => this.#addon.saveAdapter(this.#handle, folder), meanings.model);
  }

  saveState(folder: string): Promise<void> {
    return this.#call(() => this.#addon.saveState(this.#handle, folder), meanings.state);
  }

  loadState(folder: string, options: Cancellable = {}): Promise<void> {
    return this.#call((stop) => this.#addon.loadState(this.#handle, folder, stop), meanings.state, options);
  }

  memory(): Promise<MemoryUse> {
    return this.#call(() => this.#addon.memory(this.#handle), meanings.model);
  }

  async inspect(prompts: PromptBatch): Promise<readonly Activations[]> {
    const rows = await this.#call(() => this.#addon.inspect(this.#handle, promptColumns(prompts)), meanings.prompts);
    return rows.map((row) => new Map(Object.entries(row)));
  }

  async inspectGradients(
    trajectories: TrajectoryBatch,
    { temperature = 1, own_rows = null }: GradientOptions = {},
  ): Promise<Activations> {
    const columns = trajectoryColumns(trajectories);
    const gradients = await this.#call(
      () => this.#addon.inspectGradients(this.#handle, columns, temperature, own_rows),
      meanings.batch,
    );
    return new Map(Object.entries(gradients));
  }

  close(): Promise<void> {
    this.#closed ??= this.#addon.closeEngine(this.#handle);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #call<T>(run: (stop: StopSource | null) => Promise<T>, meaning: Meaning, cancellable: Cancellable = {}): Promise<T> {
    return callNative(this.#addon, run, meaning, cancellable);
  }
}
