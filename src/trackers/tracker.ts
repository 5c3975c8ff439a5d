import type { AlarmEvent, EvaluatedEvent, StepEvent } from "../pipeline/events.js";

/** A run as trackers meet it. */
export interface TrackedRun {
  /** null: the run keeps nothing. */
  readonly folder: string | null;
  /** Every value, defaults included. */
  readonly config: object;
  readonly num_parameters: number;
  readonly num_trainable_parameters: number;
  /** Steps finished before this start: 0, or those of the checkpoint that a resumed run goes on from. */
  readonly resumed_step: number;
}

/**
 * Hears of a run, one call after the other. A call that throws, or takes longer than 30 s, ends the tracker and never the
 * run. After a resume the steps after `resumed_step` come again: they replace what was said of them before.
 */
export interface Tracker {
  start?(run: TrackedRun): void | Promise<void>;
  step?(event: StepEvent): void | Promise<void>;
  evaluated?(event: EvaluatedEvent): void | Promise<void>;
  alarm?(event: AlarmEvent): void | Promise<void>;
  /** However the run ends, and after a failure of this tracker too. */
  finish?(): void | Promise<void>;
}
