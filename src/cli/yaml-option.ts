import { parse } from "yaml";
import type { z } from "zod";
import { problems } from "../config/problems.js";
import { UserError } from "../errors.js";

/**
 * A value of the command line that is a YAML mapping; a bare word is taken as its name.
 * @param option the verb and the option, "evaluate --dataset"
 */
export function yamlOption<S extends z.ZodType>(schema: S, option: string, text: string): z.infer<S> {
  const [verb, ...rest] = option.split(" --");
  const shown = rest.length === 0 ? text : `--${rest.join(" --")} ${text}`;
  const hint = `sightloop ${verb} --help`;
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    throw new UserError("CONFIG_INVALID", `${shown}: not valid YAML`, hint, { cause });
  }
  const input = typeof value === "string" ? { name: value } : value;
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const lines = problems(result.error, schema, input).map(
    ({ path, message }) => `${path.map(String).join(".") || rest[0] || "value"}: ${message}`,
  );
  throw new UserError("CONFIG_INVALID", `${shown}: ${lines.join("; ")}`, hint);
}
