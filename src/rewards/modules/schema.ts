import { basename } from "node:path";
import { z } from "zod";
import { modulePath } from "../../modules/path.js";
import { labelSchema, onErrorSchema } from "../reward.js";

/** A reward from a file of the user's. */
export const moduleRewardSchema = z.strictObject({
  /** TypeScript or JavaScript; relative to the config file. Its default export: src/rewards/modules/define.ts. */
  module: modulePath,
  /** Key of the breakdown; absent: the file's name. */
  name: labelSchema.optional(),
  weight: z.number().default(1),
  on_error: onErrorSchema.default("fail"),
  /** Handed to the module. */
  params: z.record(z.string(), z.json()).default({}),
  /** Of the compiled module; one that differs is refused. A run writes it into its config.yaml. */
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "64 hexadecimal digits")
    .optional(),
});
export type ModuleRewardConfig = z.infer<typeof moduleRewardSchema>;

export const moduleName = ({ module, name }: ModuleRewardConfig): string =>
  name ??
  (basename(module)
    .replace(/\.[cm]?[jt]s$/, "")
    .replace(/[^\w.-]/g, "_") ||
    "module");
