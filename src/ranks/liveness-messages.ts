import type { Failure } from "./failure.js";

export interface Peer {
  readonly host: string;
  readonly port: number;
}

export interface WorkerOptions {
  readonly rank: number;
  readonly world_size: number;
  /** To listen at, and nowhere else. */
  readonly local_address: string;
  readonly liveness_timeout_s: number;
}

/** From the program to its liveness thread. */
export type ToWorker =
  | { readonly type: "begin"; readonly peers: readonly Peer[] }
  | { readonly type: "at"; readonly phase: string; readonly step: number }
  | { readonly type: "stop" }
  | { readonly type: "leave"; readonly failure?: Failure };

export type FromWorker =
  | { readonly type: "listening"; readonly port: number }
  | { readonly type: "stop" }
  | { readonly type: "failed"; readonly rank: number; readonly host: string; readonly failure: Failure }
  | {
      readonly type: "lost";
      readonly rank: number;
      readonly host: string;
      readonly phase: string;
      readonly step: number;
      readonly why: string;
    };

/** Between the threads of two ranks, one JSON object a line. The first of a connection is a hello. */
export type Line =
  | { readonly type: "hello"; readonly rank: number }
  | { readonly type: "alive"; readonly phase: string; readonly step: number }
  | { readonly type: "stop" }
  | { readonly type: "leave"; readonly failure?: Failure };
