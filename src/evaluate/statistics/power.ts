import { normalQuantile } from "./distributions.js";

export interface Design {
  readonly num_items: number;
  readonly num_seeds: number;
  /** Share of items that exactly one of the two models answers right. */
  readonly discordant_share: number;
  /** Standard deviation over seeds of a model's accuracy, beyond the noise of its items. */
  readonly seed_std: number;
  /** Two-sided. */
  readonly alpha: number;
  readonly power: number;
}

/**
 * The smallest difference of two accuracies that a paired comparison finds with the given power:
 * (z(1 - alpha/2) + z(power)) * sqrt(discordant_share / items + 2 seed_std^2 / seeds). Items are shared by all seeds, so
 * more seeds do not make up for few items. Source: arXiv:2411.00640, sections 4 and 5.
 */
export function detectableDifference(design: Design): number {
  const { num_items, num_seeds, discordant_share, seed_std, alpha, power } = design;
  const deviations = normalQuantile(1 - alpha / 2) + normalQuantile(power);
  return deviations * Math.sqrt(discordant_share / num_items + (2 * seed_std ** 2) / num_seeds);
}
