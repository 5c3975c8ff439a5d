import { z } from "zod";
import { accuracy } from "./accuracy.js";
import { judgeModel } from "./judge-model.js";
import { language } from "./language.js";
import { length } from "./length.js";
import { noEos } from "./no-eos.js";
import { overlong } from "./overlong.js";
import { remote } from "./remote.js";
import type { RewardInput, Service, ServiceContext } from "./reward.js";
import { thinkFormat } from "./think-format.js";

export { moduleName, moduleRewardSchema } from "./modules/schema.js";
export { onErrorSchema } from "./reward.js";

/** Every reward that a config can name. */
const definitions = [accuracy, thinkFormat, language, length, overlong, noEos, remote, judgeModel] as const;

type Schemas<T extends readonly { readonly schema: z.ZodObject }[]> = { [I in keyof T]: T[I]["schema"] };

export const rewardSchema = z.discriminatedUnion(
  "name",
  definitions.map((definition) => definition.schema) as unknown as Schemas<typeof definitions>,
);
export type RewardConfig = z.infer<typeof rewardSchema>;

const definitionOf = (config: RewardConfig) => definitions.find(({ name }) => name === config.name)!;

/** Whether a reward only computes: asking it is cheap, and needs no one else. */
export const isComputed = (config: RewardConfig): boolean => "score" in definitionOf(config);

/** The service that a config names, or undefined: its reward only computes. */
export function openService(config: RewardConfig, context: ServiceContext): Service | undefined {
  const definition = definitionOf(config);
  return "open" in definition ? definition.open(config as never, context) : undefined;
}

/** The computed reward that a config names, with its parameters filled in. @throws Error for a service */
export function rewardFunction(config: RewardConfig): (input: RewardInput) => number | Promise<number> {
  const definition = definitionOf(config);
  if (!("score" in definition)) throw new Error(`${config.name} is not computed`);
  return (input) => definition.score(input, config as never);
}
