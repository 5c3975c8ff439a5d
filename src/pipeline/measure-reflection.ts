import { listValues } from "../batches/columns.js";
import type { TrajectoryBatch } from "../batches/trajectory.js";
import type { Rewards } from "../engine/engine.js";
import { reflectionPlaces } from "../reports/reflection.js";
import { type ReflectionStatistics, reflectionStatistics } from "../reports/reflection-statistics.js";

/** Reflection in one step's completions, by both countings. Formulas: src/reports/metrics.ts. */
export function measureReflection(
  trajectories: TrajectoryBatch,
  completions: readonly string[],
  { accuracy }: Rewards["breakdown"],
): Record<string, number> {
  const correct = accuracy === undefined ? null : accuracy.map((value) => Number(value > 0));
  const seen = { places: completions.map(reflectionPlaces), correct, lengths: sampledLengths(trajectories) };
  const by_word = reflectionStatistics(seen, "word");
  return {
    completions: by_word.completions,
    ...(by_word.correct !== null && { correct_completions: by_word.correct }),
    ...named("reflection", by_word),
    ...named("reflection_substring", reflectionStatistics(seen, "substring")),
  };
}

function named(prefix: string, { reflective, reflective_correct, ratios, ...means }: ReflectionStatistics) {
  const values = {
    completions: reflective,
    correct: reflective_correct ?? undefined,
    ratio: ratios.reflective,
    ratio_correct: ratios["reflective among correct"],
    ratio_wrong: ratios["reflective among wrong"],
    accuracy: ratios["correct among reflective"],
    accuracy_others: ratios["correct among others"],
    length: means.length,
    length_others: means.length_others,
  };
  return Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[`${prefix}_${name}`, value]])),
  );
}

function sampledLengths(trajectories: TrajectoryBatch): Int32Array {
  const { offsets, values: mask } = listValues<Uint8Array>(trajectories, "completion_mask");
  return Int32Array.from({ length: trajectories.numRows }, (_, row) => {
    let length = 0;
    for (let i = offsets[row]!; i < offsets[row + 1]!; i++) length += (mask[i >> 3]! >> (i & 7)) & 1;
    return length;
  });
}
