import type { Loop } from "./loop.js";

export type Schedule = Pick<
  Loop,
  | "splits"
  | "evaluate_before_training"
  | "evaluate_every_steps"
  | "evaluate_every_passes"
  | "checkpoint_every_steps"
  | "checkpoint_at_evaluations"
>;

const isDue = (step: number, every: number, last: number): boolean =>
  step === last || (every > 0 && step % every === 0);

export function isEvaluationDue(loop: Schedule, step: number, last: number): boolean {
  if (loop.splits.length === 0) return false;
  if (step === 0) return loop.evaluate_before_training;
  return isDue(step, loop.evaluate_every_steps, last) || completesPass(step, loop.evaluate_every_passes);
}

/** Whether a multiple of `every`, a number of steps, lies after step - 1 and not after `step`. */
function completesPass(step: number, every: number | undefined): boolean {
  if (every === undefined) return false;
  const passes = (at: number): number => Math.floor(at / every + 1e-9);
  return passes(step) > passes(step - 1);
}

export const isCheckpointDue = (loop: Schedule, step: number, last: number): boolean =>
  isDue(step, loop.checkpoint_every_steps, last) ||
  (loop.checkpoint_at_evaluations === true && isEvaluationDue(loop, step, last));
