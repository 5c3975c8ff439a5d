import { existsSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { UserError } from "../../errors.js";
import { type Outcome, returned, threw, tooLate } from "../outcome.js";
import type { Reply, Task, WorkerReward } from "./protocol.js";

const beside = new URL("./worker.js", import.meta.url);
/** Run from the sources (by the tests), this starts the built worker: a worker thread reads JavaScript only. */
const entry = existsSync(beside) ? beside : new URL("../../../dist/rewards/pool/worker.js", import.meta.url);

/** One worker thread. It computes one task at a time and is of no use once `is_dead`. */
export class RewardWorker {
  readonly #worker: Worker;
  /** What ended the thread, once it has ended. */
  #end: string | undefined;
  #listener: ((reply: Reply | undefined) => void) | undefined;

  constructor(rewards: readonly WorkerReward[], max_heap_mb: number) {
    const resourceLimits = { maxOldGenerationSizeMb: max_heap_mb };
    this.#worker = new Worker(entry, { workerData: { rewards }, execArgv: [], resourceLimits });
    this.#worker.on("message", (reply: Reply) => this.#listener?.(reply));
    this.#worker.on("error", (error) => this.#ended(`its worker ended: ${String(error)}`));
    this.#worker.on("exit", (code) => this.#ended(`its worker ended with exit code ${code}`));
  }

  get is_dead(): boolean {
    return this.#end !== undefined;
  }

  /** Resolves when the rewards are loaded. @throws UserError REWARD_INVALID; the thread is then ended */
  async loaded(names: readonly string[], timeout_ms: number): Promise<void> {
    const reply = await this.#reply(timeout_ms);
    if (reply !== "timeout" && reply?.type === "ready") return this.#rest();
    const end = this.#end;
    void this.terminate();
    if (reply !== "timeout" && reply?.type === "unusable") {
      const where = reply.place === undefined ? "" : ` at ${reply.place}`;
      throw unusable(`reward module "${names[reply.reward]}" cannot be used: ${reply.message}${where}`);
    }
    throw unusable(`reward modules cannot be loaded: ${end ?? `loading took longer than ${timeout_ms} ms`}`);
  }

  /** Ends the thread if the time is up or the signal aborts. @throws the signal's reason */
  async run(task: Task, timeout_ms: number, signal: AbortSignal): Promise<Outcome> {
    this.#worker.ref();
    try {
      const unsendable = this.#send(task);
      if (unsendable !== undefined) return unsendable;
      const reply = await this.#reply(timeout_ms, signal);
      if (reply === "timeout") {
        void this.terminate();
        return tooLate(timeout_ms);
      }
      if (reply?.type === "returned") return returned(reply.value, reply.shown);
      if (reply?.type === "threw")
        return threw(reply.place === undefined ? reply.message : `${reply.message} at ${reply.place}`);
      const hint = "See what the module does: it may have exited, thrown in the background, or used too much memory.";
      return {
        status: "error",
        message: `gave no number: ${this.#end ?? "it spoke to the main thread by itself"}`,
        hint,
      };
    } catch (error) {
      void this.terminate();
      throw error;
    } finally {
      this.#rest();
    }
  }

  #send(task: Task): Outcome | undefined {
    try {
      this.#worker.postMessage(task);
      return undefined;
    } catch (cause) {
      const hint =
        "Samples may hold plain values only, or give the reward as a function, which runs on the main thread.";
      return { status: "error", message: `cannot be sent its sample: ${(cause as Error).message}`, hint, cause };
    }
  }

  async terminate(): Promise<void> {
    this.#ended("its worker was ended");
    this.#worker.ref(); // who waits for the end must live to see it
    await this.#worker.terminate();
  }

  /** The next message; undefined if the thread ends instead. */
  async #reply(timeout_ms: number, signal?: AbortSignal): Promise<Reply | "timeout" | undefined> {
    signal?.throwIfAborted();
    if (this.is_dead) return undefined;
    let timer: NodeJS.Timeout | undefined;
    let cancel: (() => void) | undefined;
    try {
      return await new Promise((resolve, reject) => {
        this.#listener = resolve;
        timer = setTimeout(() => resolve("timeout"), timeout_ms);
        cancel = () => reject(signal!.reason as Error);
        signal?.addEventListener("abort", cancel);
      });
    } finally {
      this.#listener = undefined;
      clearTimeout(timer);
      if (cancel !== undefined) signal?.removeEventListener("abort", cancel);
    }
  }

  /** An idle worker does not keep the process alive. */
  #rest(): void {
    if (!this.is_dead) this.#worker.unref();
  }

  #ended(how: string): void {
    this.#end ??= how;
    this.#listener?.(undefined);
  }
}

const unusable = (what: string): UserError =>
  new UserError("REWARD_INVALID", what, "docs/rewards.md shows what a reward module exports.");
