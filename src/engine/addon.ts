import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../errors.js";
import type { ByteProgress, Dtype, FinishReason, MemoryUse, ModelInfo, RolloutTimings, UpdateStats } from "./engine.js";
import type { Numerics } from "./numerics.js";

declare const kind: unique symbol;
/** A handle that only the addon can read. */
interface Handle<Kind extends string> {
  readonly [kind]: Kind;
}
export type EngineHandle = Handle<"engine">;
export type SessionHandle = Handle<"session">;
export type StopSource = Handle<"stop">;
export type RanksHandle = Handle<"ranks">;
export type PreparedHandle = Handle<"prepared image">;

export interface PromptColumns {
  readonly prompt_id: BigInt64Array;
  readonly token_ids: Int32Array;
  readonly offsets: Int32Array;
  readonly image_ids: readonly (readonly string[])[];
}

export interface RolloutColumns extends PromptColumns {
  readonly sample_index: Int32Array;
  readonly policy_version: Int32Array;
  /** Arrow's packed booleans. */
  readonly completion_mask: Uint8Array;
  readonly rollout_logprobs: Float32Array;
}

export interface CollectedColumns extends RolloutColumns {
  readonly sampling_logprobs: Float32Array | null;
  readonly finish_reason: readonly FinishReason[];
  readonly timings: RolloutTimings;
  readonly sampling_margin_min: number;
}

export interface TrajectoryColumns extends RolloutColumns {
  readonly policy_logprobs: Float32Array;
  readonly reference_logprobs: Float32Array | null;
  readonly advantages: Float32Array;
}

export interface NativeCompletion {
  readonly prompt_id: number;
  readonly sample_index: number;
  readonly token_ids: Int32Array;
  readonly rollout_logprobs: Float32Array;
  readonly finish_reason: FinishReason | null;
}

type Stop = StopSource | null;

/** The whole native surface. Promises settle on the JavaScript thread, work runs on the engine's own. */
export interface Addon {
  openEngine(
    options: string,
    stop: Stop,
    progress: ByteProgress | undefined,
    ranks: RanksHandle | null,
  ): Promise<{ engine: EngineHandle; model: ModelInfo }>;
  openRanks(options: string): Promise<{ ranks: RanksHandle; local_address: string }>;
  exchange(ranks: RanksHandle, bytes: Uint8Array): Promise<Uint8Array[]>;
  closeRanks(ranks: RanksHandle): Promise<void>;
  closeEngine(engine: EngineHandle): Promise<void>;
  addImages(
    engine: EngineHandle,
    ids: readonly string[],
    rgb: readonly Uint8Array[],
    heights: readonly number[],
    widths: readonly number[],
  ): Promise<[number, number, number][]>;
  prepareImages(
    engine: EngineHandle,
    settings: string,
    cut: boolean,
    ids: readonly string[],
    rgb: readonly Uint8Array[],
    heights: readonly number[],
    widths: readonly number[],
  ): Promise<{ prepared: PreparedHandle; grid: [number, number, number] }[]>;
  addPreparedImage(engine: EngineHandle, id: string, prepared: PreparedHandle): Promise<void>;
  pruneImages(engine: EngineHandle, keep: readonly string[]): Promise<string[]>;
  rolloutOpen(engine: EngineHandle, sampling: string): Promise<SessionHandle>;
  rolloutAdd(session: SessionHandle, prompts: PromptColumns, completions_per_prompt: number): Promise<void>;
  rolloutAdvance(session: SessionHandle, stop: Stop): Promise<NativeCompletion[]>;
  rolloutCollect(session: SessionHandle): Promise<CollectedColumns>;
  rolloutClose(session: SessionHandle): Promise<void>;
  score(
    engine: EngineHandle,
    rollouts: RolloutColumns,
    which: "policy" | "reference",
    temperature: number,
    stop: Stop,
  ): Promise<{ logprobs: Float32Array; entropy: Float32Array }>;
  advantages(
    engine: EngineHandle,
    rollouts: RolloutColumns,
    scores: { reward: Float32Array; policy_logprobs: Float32Array; reference_logprobs: Float32Array | null },
  ): Promise<Float32Array>;
  update(
    engine: EngineHandle,
    trajectories: TrajectoryColumns,
    temperature: number,
    max_consecutive_skips: number,
    own_rows: Uint8Array | null,
    stop: Stop,
  ): Promise<UpdateStats>;
  updateOrder(engine: EngineHandle, groups: number, ahead: number): Promise<Int32Array>;
  saveModel(engine: EngineHandle, folder: string): Promise<void>;
  saveAdapter(engine: EngineHandle, folder: string): Promise<void>;
  saveState(engine: EngineHandle, folder: string): Promise<void>;
  loadState(engine: EngineHandle, folder: string, stop: Stop): Promise<void>;
  memory(engine: EngineHandle): Promise<MemoryUse>;
  inspect(
    engine: EngineHandle,
    prompts: PromptColumns,
  ): Promise<Record<string, { shape: number[]; data: Float32Array }>[]>;
  inspectGradients(
    engine: EngineHandle,
    trajectories: TrajectoryColumns,
    temperature: number,
    own_rows: Uint8Array | null,
  ): Promise<Record<string, { shape: number[]; data: Float32Array }>>;
  initModel(
    folder: string,
    seed: number,
    dtype: Dtype,
    stop: Stop,
    progress: ByteProgress | undefined,
  ): Promise<number>;
  /** Operations (or bytes) a second that this machine reaches; on a thread of their own. Medians over `seconds`. */
  measureGemm(
    product: "forward" | "input_gradient" | "weight_gradient",
    rows: number,
    inputs: number,
    outputs: number,
    threads: number,
    seconds: number,
    device: string,
    dtype: string,
  ): Promise<number>;
  measureBandwidth(bytes: number, threads: number, seconds: number, device: string, dtype: string): Promise<number>;
  readonly libtorchVersion: string;
  numerics(): Omit<Numerics, "threads" | "device">;
  /** NVIDIA devices that this build can use. */
  cudaDevices(): number;
  /** Bytes of an NVIDIA device that nothing holds; null for the CPU. `device`: as `deviceName` gives it. */
  freeDeviceBytes(device: string): number | null;
  createStopSource(): StopSource;
  requestStop(source: StopSource): void;

  /** Pure functions, for tests and tools. */
  preprocessImage(
    rgb: Uint8Array,
    height: number,
    width: number,
    settingsJson: string,
  ): {
    resized: Uint8Array;
    resized_height: number;
    resized_width: number;
    image_grid_thw: number[];
    pixel_values: Float32Array;
  };
  smartResize(height: number, width: number, factor: number, min_pixels: number, max_pixels: number): [number, number];
  ropePositions(
    token_ids: Int32Array,
    grids: Int32Array,
    image_token_id: number,
    video_token_id: number,
    merge_size: number,
  ): { positions: Int32Array; delta: number };
  filterLogits(logits: Float32Array, temperature: number, top_k: number, top_p: number): Float32Array;
}

const packageRoot = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
let loaded: Addon | undefined;

/**
 * How long an idle OpenMP thread spins before it sleeps. By default it spins for milliseconds, and two processes that
 * share the cores slow each other down by 10 to 30 times; not spinning at all costs a tenth when alone. libgomp reads
 * this once, when the addon is loaded. A user's own OMP_WAIT_POLICY or GOMP_SPINCOUNT wins.
 */
const SPIN_COUNT = "5000";

/** What c10d logs of a lost connection, with a stack of its own, is said by our errors. */
const LOG_LEVEL = "FATAL";

/**
 * Loads build/Release/sightloop.node once.
 * @throws UserError ADDON_NOT_BUILT naming what failed and how to build
 */
export function loadAddon(): Addon {
  if (loaded !== undefined) return loaded;
  if (process.env["OMP_WAIT_POLICY"] === undefined) process.env["GOMP_SPINCOUNT"] ??= SPIN_COUNT;
  process.env["TORCH_CPP_LOG_LEVEL"] ??= LOG_LEVEL;
  const require = createRequire(import.meta.url);
  const bindings = require("bindings") as (options: { bindings: string; module_root: string }) => Addon;
  try {
    loaded = bindings({ bindings: "sightloop", module_root: packageRoot });
  } catch (cause) {
    const message = cause instanceof Error ? cause.message.split("\n")[0]! : String(cause);
    throw new UserError(
      "ADDON_NOT_BUILT",
      `the native addon cannot be loaded on ${process.platform}-${process.arch}: ${message}`,
      `Build it with \`npm run build\` in ${packageRoot}, or \`npm rebuild sightloop\` where it is installed.`,
      { cause },
    );
  }
  return loaded;
}

/** CPU threads for an engine that asks for 0: all cores, shared between the processes of one machine. */
export function defaultThreads(processes = 1): number {
  return Math.max(1, Math.floor(availableParallelism() / processes));
}
