import { z } from "zod";
import { defineReward } from "./reward.js";

/**
 * Soft overlong punishment: 0 up to max_tokens - cache_tokens tokens, then falling linearly to -1 at max_tokens.
 * Source: DAPO, arXiv:2503.14476 eq. 13.
 */
export const overlong = defineReward({
  name: "overlong",
  params: z.strictObject({
    /** L_max; null takes sampling.max_completion_tokens. */
    max_tokens: z.int().positive().nullable().default(null),
    /** L_cache: tokens over which the punishment grows. */
    cache_tokens: z.int().positive(),
  }),
  score: ({ token_count, max_completion_tokens }, { max_tokens, cache_tokens }) => {
    const limit = max_tokens ?? max_completion_tokens;
    return token_count <= limit - cache_tokens ? 0 : Math.max(-1, (limit - cache_tokens - token_count) / cache_tokens);
  },
});
