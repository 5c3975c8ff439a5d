/** One step's numbers. Names, units and formulas: ../metrics.ts. */
export interface StepPoint {
  readonly step: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** One setting's result on one split. Shares are in [0, 1]. */
export interface EvaluationPoint {
  readonly step: number;
  readonly split: string;
  readonly setting: string;
  readonly num_items: number;
  readonly accuracy: number;
  /** 95 % interval over items. */
  readonly interval: readonly [low: number, high: number] | null;
  /** The result's other numbers: pass_at.4, mean_completion_length, truncated, ... */
  readonly values: Readonly<Record<string, number>>;
  /** Correct completions of each item, in the split's order; null where they were not kept. */
  readonly correct: readonly number[] | null;
}

export type MetricsPoint =
  | { readonly type: "step"; readonly point: StepPoint }
  | { readonly type: "evaluated"; readonly points: readonly EvaluationPoint[] };

/**
 * One line of metrics.jsonl, as far as it can be understood: unknown names are kept, values that are no numbers left out.
 * @throws Error saying what is wrong with it
 */
export function parseMetricsLine(line: string): MetricsPoint {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Error("not valid JSON");
  }
  if (!isObject(value) || !Number.isSafeInteger(value["step"]) || (value["step"] as number) < 0)
    throw new Error('no object with a whole "step"');
  const { type, step, split, results, ...rest } = value as { step: number } & Record<string, unknown>;
  if (type === "step") return { type, point: { step, metrics: numbersOf(rest) } };
  if (type !== "evaluated") throw new Error('"type" is neither "step" nor "evaluated"');
  if (typeof split !== "string" || !Array.isArray(results)) throw new Error("an evaluation without split or results");
  return { type, points: results.map((result) => evaluationPoint(step, split, result)) };
}

function evaluationPoint(step: number, split: string, result: unknown): EvaluationPoint {
  if (!isObject(result)) throw new Error("a result that is no object");
  const { setting, accuracy, interval, num_items, correct, ...rest } = result;
  if (typeof setting !== "string" || typeof accuracy !== "number")
    throw new Error("a result without setting or accuracy");
  const [low, high] = Array.isArray(interval) ? (interval as readonly unknown[]) : [];
  return {
    ...{ step, split, setting, accuracy },
    num_items: typeof num_items === "number" ? num_items : 0,
    interval: typeof low === "number" && typeof high === "number" ? [low, high] : null,
    values: numbersOf(rest),
    correct: isCounts(correct) ? correct : null,
  };
}

const isCounts = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);

/** The finite numbers of an object, those of an inner one under dotted names. */
function numbersOf(value: Readonly<Record<string, unknown>>): Record<string, number> {
  const numbers: Record<string, number> = {};
  for (const [name, item] of Object.entries(value))
    if (typeof item === "number" && Number.isFinite(item)) numbers[name] = item;
    else if (isObject(item))
      for (const [inner, number] of Object.entries(numbersOf(item))) numbers[`${name}.${inner}`] = number;
  return numbers;
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
