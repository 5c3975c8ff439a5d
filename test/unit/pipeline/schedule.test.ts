import { describe, expect, test } from "vitest";
import { isCheckpointDue, isEvaluationDue, type Schedule } from "../../../src/pipeline/schedule.js";

const never: Schedule = {
  ...{ splits: ["validation"], evaluate_before_training: false, evaluate_every_steps: 0, checkpoint_every_steps: 0 },
};
const due = (is: typeof isEvaluationDue, changes: Partial<Schedule>, last = 12): number[] =>
  Array.from({ length: last + 1 }, (_, step) => step).filter((step) => is({ ...never, ...changes }, step, last));

describe("an evaluation is due", () => {
  test.each<[string, Partial<Schedule>, number[]]>([
    ["at the end", {}, [12]],
    ["before training, if asked for", { evaluate_before_training: true }, [0, 12]],
    ["every so many steps", { evaluate_every_steps: 5 }, [5, 10, 12]],
    ["by the first step that completes a pass of 2.5 steps", { evaluate_every_passes: 2.5 }, [3, 5, 8, 10, 12]],
    [
      "once in a step that completes several passes",
      { evaluate_every_passes: 0.4 },
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    ],
    ["after passes longer than the run only at its end", { evaluate_every_passes: 100 }, [12]],
    ["by passes that rounding would miss", { evaluate_every_passes: 1.1 * 3 }, [4, 7, 10, 12]],
    ["never without a split", { splits: [], evaluate_before_training: true, evaluate_every_steps: 1 }, []],
  ])("%s", (_, changes, steps) => expect(due(isEvaluationDue, changes)).toEqual(steps));
});

test("checkpoints follow their own steps, and evaluations where the best one is kept", () => {
  const later = (steps: number[]): number[] => steps.filter((step) => step > 0);
  expect(later(due(isCheckpointDue, { checkpoint_every_steps: 5 }))).toEqual([5, 10, 12]);
  const passes = { evaluate_every_passes: 4, checkpoint_at_evaluations: true };
  expect(later(due(isCheckpointDue, passes))).toEqual([4, 8, 12]);
});
