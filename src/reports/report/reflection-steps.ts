import { reflection_words } from "../reflection.js";
import { ratio_names, type RatioName } from "../reflection-statistics.js";
import type { ReflectionPoint } from "./reflection-curves.js";
import type { Report } from "./report.js";

const ratios = Object.keys(ratio_names) as RatioName[];

type ReflectionOf = Pick<Report, "groups" | "reflection" | "reflection_substring">;

/** Every number of reflection, a row for each step read and each counting; what divides by 0 is an empty cell. */
export function reflectionSteps({ groups, reflection, reflection_substring }: ReflectionOf): {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
} {
  const countings = [
    ["word", reflection],
    ["substring", reflection_substring],
  ] as const;
  return {
    header: [
      ...["run", "step", "counting", "N", "N+", "R", "R+"],
      ...ratios.map((name) => ratio_names[name].replaceAll("−", "-")),
      ...["length of R", "length of others", ...reflection_words],
    ],
    rows: groups.flatMap(({ runs }) =>
      runs.flatMap(({ folder, name }) =>
        countings.flatMap(([counting, of]) => (of.get(folder) ?? []).map((point) => [name, ...cells(counting, point)])),
      ),
    ),
  };
}

const cells = (counting: string, point: ReflectionPoint): readonly string[] =>
  [
    ...[point.step, counting, point.completions, point.correct, point.reflective, point.reflective_correct],
    ...ratios.map((name) => point.ratios[name]),
    ...[point.length, point.length_others, ...reflection_words.map((word) => point.counts[word])],
  ].map((value) => String(value ?? ""));
