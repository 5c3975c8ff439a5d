import { Worker } from "node:worker_threads";
import { rank_lost_hint } from "../engine/native-ranks.js";
import { UserError, type UserErrorCode } from "../errors.js";
import type { FromWorker, Peer, ToWorker, WorkerOptions } from "./liveness-messages.js";

/** How this rank knows that the others are alive, and tells them that it is. */
export interface Liveness {
  /** Where the others reach its thread. */
  readonly port: number;
  begin(peers: readonly Peer[]): void;
  at(phase: string, step: number): void;
  /** Tells the others to stop. */
  tellStop(): void;
  /** Says goodbye, with what went wrong here if something did, and ends the thread. */
  end(error?: unknown): Promise<void>;
}

export interface LivenessOptions extends WorkerOptions {
  /** Aborted once another rank was told to stop. */
  readonly stop: AbortController;
  readonly onLost: (error: UserError) => void;
}

/** A failure that every rank sees by itself needs no word from another: it is given this long. */
const grace_ms = 3000;

/**
 * Heartbeats between all ranks, by TCP from a thread of its own: neither a rank that computes for minutes nor one that waits in
 * a collective is taken for dead, and the loss of rank 0 is noticed like that of any other.
 */
export async function watchRanks(options: LivenessOptions): Promise<Liveness> {
  const { rank, world_size, local_address, liveness_timeout_s, stop, onLost } = options;
  const workerData: WorkerOptions = { rank, world_size, local_address, liveness_timeout_s };
  const worker = new Worker(new URL("./liveness-worker.js", import.meta.url), { workerData });
  const tell = (message: ToWorker): void => worker.postMessage(message);
  let ended = false;
  const port = await new Promise<number>((resolve, reject) => {
    worker.once("error", reject);
    worker.on("message", (message: FromWorker) => {
      if (message.type === "listening") resolve(message.port);
      else if (message.type === "stop") stop.abort(new DOMException("another rank was told to stop", "AbortError"));
      else if (!ended) setTimeout(() => !ended && onLost(errorOf(message)), message.type === "failed" ? grace_ms : 0);
    });
  });
  worker.unref();
  return {
    port,
    begin: (peers) => tell({ type: "begin", peers }),
    at: (phase, step) => tell({ type: "at", phase, step }),
    tellStop: () => tell({ type: "stop" }),
    end: async (error) => {
      if (ended) return;
      ended = true;
      worker.ref();
      const exited = new Promise((resolve) => worker.once("exit", resolve));
      tell({ type: "leave", ...(error !== undefined && { failure: failureOf(error) }) });
      await exited;
    },
  };
}

const failureOf = (error: unknown): { code?: string; message: string; hint?: string } =>
  error instanceof UserError
    ? { code: error.code, message: error.message, hint: error.hint }
    : { message: error instanceof Error ? (error.stack ?? error.message) : String(error) };

function errorOf(message: Extract<FromWorker, { type: "lost" | "failed" }>): UserError {
  const { rank, host } = message;
  if (message.type === "lost") {
    const doing = message.phase === "" ? "" : `, in the ${message.phase} phase of step ${message.step}`;
    return new UserError("RANK_LOST", `rank ${rank} on ${host} ${message.why}${doing}`, rank_lost_hint);
  }
  const { code, message: text, hint } = message.failure;
  // An error that names its rank is passed on as it is.
  const named = /^rank \d+/.test(text) ? text : `rank ${rank} on ${host}: ${text}`;
  return new UserError((code as UserErrorCode | undefined) ?? "RANK_FAILED", named, hint ?? rank_lost_hint);
}
