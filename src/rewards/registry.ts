import { z } from "zod";
import { accuracy } from "./accuracy.js";
import { language } from "./language.js";
import type { RewardInput } from "./reward.js";
import { thinkFormat } from "./think-format.js";

/** Every reward that a config can name. */
const definitions = [accuracy, thinkFormat, language] as const;

type Schemas<T extends readonly { readonly schema: z.ZodObject }[]> = { [I in keyof T]: T[I]["schema"] };

export const rewardSchema = z.discriminatedUnion(
  "name",
  definitions.map((definition) => definition.schema) as unknown as Schemas<typeof definitions>,
);
export type RewardConfig = z.infer<typeof rewardSchema>;

/** The reward that a config names, with its parameters filled in. */
export function rewardFunction(config: RewardConfig): (input: RewardInput) => number | Promise<number> {
  const definition = definitions.find(({ name }) => name === config.name)!;
  return (input) => definition.score(input, config as never);
}
