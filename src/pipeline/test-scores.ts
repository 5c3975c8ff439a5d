import type { EvaluationPoint } from "../reports/read/metrics-lines.js";
import type { TestScore } from "./events.js";

interface Steps {
  readonly last: number;
  /** Of the best checkpoint; undefined where none is chosen. */
  readonly selected: number | undefined;
}

/** What the last step and the selected one reached on every split but the one that selects, looked up. */
export function testScores(
  evaluations: readonly EvaluationPoint[],
  selecting_split: string,
  { last, selected }: Steps,
): readonly TestScore[] {
  const at = (step: number | undefined) => evaluations.filter((point) => point.step === step);
  return at(last)
    .filter(({ split }) => split !== selecting_split)
    .map(({ split, setting, accuracy }): TestScore => {
      const chosen = at(selected).find((point) => point.split === split && point.setting === setting);
      return {
        ...{ split, setting, last: { step: last, accuracy } },
        ...(chosen !== undefined && { selected: { step: chosen.step, accuracy: chosen.accuracy } }),
      };
    });
}
