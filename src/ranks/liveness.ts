import { Worker } from "node:worker_threads";
import { rank_lost_hint } from "../engine/native-ranks.js";
import { UserError } from "../errors.js";
import { fromFailure, toFailure } from "./failure.js";
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
  /** Hears that another rank was told to stop. */
  readonly onStop: () => void;
  readonly onLost: (error: UserError) => void;
}

/** A failure that every rank sees by itself needs no word from another: it is given this long. */
const grace_ms = 3000;

/**
 * Heartbeats between all ranks, by TCP from a thread of its own: neither a rank that computes for minutes nor one that waits in
 * a collective is taken for dead, and the loss of rank 0 is noticed like that of any other.
 */
export async function watchRanks(options: LivenessOptions): Promise<Liveness> {
  const { rank, world_size, local_address, liveness_timeout_s, onStop, onLost } = options;
  const workerData: WorkerOptions = { rank, world_size, local_address, liveness_timeout_s };
  const worker = new Worker(new URL("./liveness-worker.js", import.meta.url), { workerData });
  const tell = (message: ToWorker): void => worker.postMessage(message);
  let ended = false;
  const port = await new Promise<number>((resolve, reject) => {
    worker.once("error", reject);
    worker.on("message", (message: FromWorker) => {
      if (message.type === "listening") resolve(message.port);
      else if (message.type === "stop") onStop();
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
      tell({ type: "leave", ...(error !== undefined && { failure: toFailure(error) }) });
      await exited;
    },
  };
}

function errorOf(message: Extract<FromWorker, { type: "lost" | "failed" }>): UserError {
  const { rank, host } = message;
  if (message.type === "lost") {
    const doing = message.phase === "" ? "" : `, in the ${message.phase} phase of step ${message.step}`;
    return new UserError("RANK_LOST", `rank ${rank} on ${host} ${message.why}${doing}`, rank_lost_hint);
  }
  const { failure } = message;
  // An error that names its rank is passed on as it is.
  const named = /^rank \d+/.test(failure.message) ? failure.message : `rank ${rank} on ${host}: ${failure.message}`;
  return fromFailure(failure, named, rank_lost_hint);
}
