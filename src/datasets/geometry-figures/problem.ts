import type { Draw } from "../random.js";
import type { Figure, Label } from "./figure.js";

/** A drawn problem; both variants of a question come from it. */
export interface Problem {
  /** What identifies it among all of its kind: equal numbers are the same problem. */
  readonly numbers: readonly number[];
  /** A sentence that the question holds in any case, without numbers. */
  readonly setting: string;
  /** What is given, in words: "angle A is 50°". */
  readonly givens: readonly string[];
  readonly asked: string;
  /** Exact; LaTeX where it is not a whole number. */
  readonly answer: string;
  /** Why, ending before the answer. */
  readonly steps: string;
  /** Names, and "?" at what is asked. */
  readonly figure: Figure;
  /** The given numbers, where the figure shows them. */
  readonly given_labels: readonly Label[];
}

/** One kind of figure. */
export type Kind = (draw: Draw) => Problem;

/** lowest, lowest + step, ..., at most highest. */
export const between = (draw: Draw, lowest: number, highest: number, step = 1): number =>
  lowest + step * draw(Math.floor((highest - lowest) / step) + 1);
