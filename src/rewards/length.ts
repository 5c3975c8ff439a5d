import { z } from "zod";
import { defineReward } from "./reward.js";

/**
 * 0 for a completion of min_tokens to max_tokens tokens, else minus its distance from the nearer bound as a share of
 * that bound, at least -1. With both bounds equal: L1-Exact of arXiv:2503.04697, as a share of the target.
 */
export const length = defineReward({
  name: "length",
  params: z.strictObject({
    min_tokens: z.int().nonnegative().default(0),
    max_tokens: z.int().positive(),
  }),
  score: ({ token_count }, { min_tokens, max_tokens }) => {
    if (token_count < min_tokens) return (token_count - min_tokens) / min_tokens;
    if (token_count > max_tokens) return Math.max(-1, (max_tokens - token_count) / max_tokens);
    return 0;
  },
});
