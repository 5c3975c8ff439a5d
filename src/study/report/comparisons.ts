import { meanOf } from "../../evaluate/statistics/averages.js";
import { percentileInterval } from "../../evaluate/statistics/crossed-bootstrap.js";
import { normalQuantile } from "../../evaluate/statistics/distributions.js";
import { holm, pairedPermutation } from "../../evaluate/statistics/tests.js";
import type { StudyConfig } from "../schema.js";
import type { Measured } from "./measured.js";
import { accuracyOf, type Outcome } from "./resampled.js";

/** Accuracy of `a` minus accuracy of `b`, on the same items and seeds. Shares. */
export interface Comparison {
  readonly a: Measured;
  readonly b: Measured;
  readonly split: string;
  readonly num_items: number;
  readonly num_seeds: number;
  readonly difference: number;
  /** 95 %, items and seeds drawn anew. */
  readonly interval: readonly [low: number, high: number];
  /** Exact sign-flip test over items, of these seeds. */
  readonly p: number;
  /** By Holm's correction over the whole table. */
  readonly p_holm: number;
  /** With these items and seeds, at alpha and power of the study, before the correction. */
  readonly detectable: number;
  readonly verdict: "better" | "worse" | "unclear" | "no difference shown";
}

type Outcomes = ReadonlyMap<Measured, Outcome>;

/** What is compared: each entry with the baseline, each train entry with each sft entry, and the pairs that the study names. */
export function pairsOf(
  entries: readonly Measured[],
  report: StudyConfig["report"],
): readonly (readonly [Measured, Measured])[] {
  const pairs = new Map<string, readonly [Measured, Measured]>();
  const add = (a: Measured, b: Measured): void => {
    if (a !== b && !pairs.has(`${b.name}\n${a.name}`)) pairs.set(`${a.name}\n${b.name}`, [a, b]);
  };
  for (const cell of new Set(entries.map((entry) => entry.cell))) {
    const here = entries.filter((entry) => entry.cell === cell);
    const named = (name: string): Measured | undefined => here.find(({ entry }) => entry === name);
    const baseline = report.baseline === null ? here[0] : named(report.baseline);
    if (baseline !== undefined) for (const entry of here) add(entry, baseline);
    for (const a of here.filter(({ kind }) => kind === "train"))
      for (const b of here.filter(({ kind }) => kind === "sft")) add(a, b);
    for (const [a, b] of report.compare.map((pair) => pair.map(named)))
      if (a !== undefined && b !== undefined) add(a, b);
  }
  return [...pairs.values()];
}

export function compare(
  pairs: readonly (readonly [Measured, Measured])[],
  by_split: ReadonlyMap<string, Outcomes>,
  { alpha, power }: Pick<StudyConfig["report"], "alpha" | "power">,
): readonly Comparison[] {
  const tested = pairs.flatMap(([a, b]) =>
    [...by_split].flatMap(([split, outcomes]) => {
      const [of_a, of_b] = [outcomes.get(a), outcomes.get(b)];
      if (of_a === undefined || of_b === undefined) return [];
      const tested = test(of_a, of_b, normalQuantile(1 - alpha / 2) + normalQuantile(power));
      return tested === undefined ? [] : [{ a, b, split, ...tested }];
    }),
  );
  const adjusted = holm(tested.map(({ p }) => p));
  return tested.map((one, i) => {
    const [low, high] = one.interval;
    const is_found = adjusted[i]! < alpha;
    const verdict = !is_found ? "no difference shown" : low > 0 ? "better" : high < 0 ? "worse" : "unclear";
    return { ...one, p_holm: adjusted[i]!, verdict };
  });
}

/** Undefined where the two have no seed in common, or sampled different numbers of completions. */
function test(a: Outcome, b: Outcome, deviations: number) {
  const common = a.seeds.filter((seed) => b.seeds.includes(seed));
  if (common.length === 0 || a.completions_per_prompt !== b.completions_per_prompt) return undefined;
  const rows = common.map((seed) => [a.correct[a.seeds.indexOf(seed)]!, b.correct[b.seeds.indexOf(seed)]!] as const);
  const differences = Array.from({ length: a.num_items }, (_, item) =>
    rows.reduce((sum, [of_a, of_b]) => sum + of_a[item]! - of_b[item]!, 0),
  );
  const unit = common.length * a.completions_per_prompt;
  const mean = meanOf(differences) / unit;
  const variance = meanOf(differences.map((one) => (one / unit - mean) ** 2));
  return {
    num_items: a.num_items,
    num_seeds: common.length,
    difference: accuracyOf(a) - accuracyOf(b),
    interval: percentileInterval(a.rounds.map((value, round) => value - b.rounds[round]!)),
    p: pairedPermutation(differences),
    detectable: deviations * Math.sqrt(variance / a.num_items),
  };
}
