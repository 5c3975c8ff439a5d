import type { Outcome } from "../outcome.js";
import type { RewardInput } from "../reward.js";
import type { Task, WorkerReward } from "./protocol.js";
import { RewardWorker } from "./reward-worker.js";

export interface PoolOptions {
  readonly rewards: readonly WorkerReward[];
  /** Of the rewards, for messages. */
  readonly names: readonly string[];
  /** Threads at most; one is started when a task finds the others busy. */
  readonly size: number;
  readonly load_timeout_ms: number;
  /**
   * Of a thread's JavaScript objects; a reward that needs more ends its thread, not the run. (Node grants 16 MB more to end
   * it in: a single larger allocation at the limit is fatal to the process.)
   */
  readonly max_heap_mb: number;
}

interface Job {
  readonly task: Task;
  readonly timeout_ms: number;
  readonly signal: AbortSignal;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Worker threads that compute rewards, first in, first out. A task's time runs from when a loaded worker takes it up; a
 * worker that has not answered by then is ended and replaced.
 */
export class WorkerPool implements AsyncDisposable {
  readonly #options: PoolOptions;
  readonly #workers: (RewardWorker | undefined)[];
  readonly #busy: boolean[];
  readonly #queue: Job[] = [];
  readonly #replaced: RewardWorker[] = [];
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#workers = Array.from({ length: options.size }, () => undefined);
    this.#busy = this.#workers.map(() => false);
  }

  /** Starts the first worker. @throws UserError REWARD_INVALID if a module cannot be used */
  async start(): Promise<void> {
    await this.#worker(0);
  }

  /** @throws the signal's reason */
  run(reward: number, input: RewardInput, timeout_ms: number, signal: AbortSignal): Promise<Outcome> {
    if (this.#closed) throw new Error("the pool is closed");
    return new Promise((resolve, reject) => {
      this.#queue.push({ task: { reward, input: compact(input) }, timeout_ms, signal, resolve, reject });
      const free = this.#freeSlot();
      if (free !== undefined) void this.#serve(free);
    });
  }

  /** Ends every worker, busy or not. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const { reject } of this.#queue.splice(0)) reject(new Error("the pool was closed"));
    const workers = [...this.#workers.splice(0), ...this.#replaced];
    await Promise.all(workers.flatMap((worker) => worker?.terminate() ?? []));
  }

  /** One whose worker is there already, if possible. */
  #freeSlot(): number | undefined {
    const free = [...this.#busy.keys()].filter((slot) => !this.#busy[slot]);
    return free.find((slot) => this.#workers[slot]?.is_dead === false) ?? free[0];
  }

  async #serve(slot: number): Promise<void> {
    this.#busy[slot] = true;
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) {
      const { task, timeout_ms, signal, resolve, reject } = job;
      try {
        signal.throwIfAborted();
        const worker = await this.#worker(slot);
        const started = performance.now();
        const outcome = await worker.run(task, timeout_ms, signal);
        resolve({ ...outcome, seconds: (performance.now() - started) / 1000 });
      } catch (error) {
        reject(error);
      }
    }
    this.#busy[slot] = false;
  }

  /** The slot's worker, loaded; a new one where it has none or a dead one. */
  async #worker(slot: number): Promise<RewardWorker> {
    const present = this.#workers[slot];
    if (present !== undefined && !present.is_dead) return present;
    if (this.#closed) throw new Error("the pool was closed");
    if (present !== undefined) this.#replaced.push(present);
    const { rewards, names, load_timeout_ms, max_heap_mb } = this.#options;
    const worker = new RewardWorker(rewards, max_heap_mb);
    this.#workers[slot] = worker;
    await worker.loaded(names, load_timeout_ms);
    return worker;
  }
}

/** Image bytes may be a small view of a large buffer, all of which would be copied to the worker. */
function compact(input: RewardInput): RewardInput {
  const images = input.sample.images.map((image) =>
    "bytes" in image && image.bytes.byteLength < image.bytes.buffer.byteLength
      ? { ...image, bytes: Uint8Array.from(image.bytes) }
      : image,
  );
  return { ...input, sample: { ...input.sample, images } };
}
