import { z } from "zod";
import { defineReward } from "./reward.js";

/**
 * -penalty for a completion that no stop token ended, or with fewer than min_tokens tokens (stop token included); else 0.
 * With `mode: replace` such a completion's reward is this one alone, as in MAYE's code (arXiv:2504.02587), where even a
 * right answer gets -0.1.
 */
export const noEos = defineReward({
  name: "no_eos",
  params: z.strictObject({
    penalty: z.number().positive().default(0.1),
    min_tokens: z.int().nonnegative().default(0),
    mode: z.enum(["add", "replace"]).default("add"),
  }),
  score: ({ finish_reason, token_count }, { penalty, min_tokens }) =>
    finish_reason === "length" || token_count < min_tokens ? -penalty : 0,
});
