import { z } from "zod";
import { httpClient } from "./http/client.js";
import { ServiceFailure } from "./http/failure.js";
import { imageUrls } from "./http/images.js";
import { apiKey, http_params } from "./http/params.js";
import { show } from "./outcome.js";
import { defineService } from "./reward.js";

const answerSchema = z.object({ reward: z.number() });

/**
 * The number that a server of the user's own answers. One completion is one POST of
 *   { prompt, completion, answer, finish_reason, token_count, max_completion_tokens,
 *     sample: { id, question, solution | null, images: data URLs, if sent }, params }
 * and the answer is { "reward": <number> }.
 */
export const remote = defineService({
  name: "remote",
  params: z.strictObject({
    ...http_params,
    /** Sent along as they are. */
    params: z.record(z.string(), z.json()).default({}),
  }),
  open: (config, { label, env }) => {
    const post = httpClient(config.url, config, apiKey(label, config.api_key_env, env));
    return {
      score: async ({ sample, ...rest }, signal) => {
        const images = config.send_images ? { images: await imageUrls(sample) } : {};
        const { id, question, solution = null } = sample;
        const answer = await post(
          { ...rest, sample: { id, question, solution, ...images }, params: config.params },
          signal,
        );
        const parsed = answerSchema.safeParse(answer);
        if (parsed.success) return parsed.data.reward;
        throw new ServiceFailure(
          "error",
          `got ${show(JSON.stringify(answer))} from ${new URL(config.url).host}`,
          'The server must answer {"reward": <finite number>}.',
        );
      },
    };
  },
});
