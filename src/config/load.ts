import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { Document, isCollection, isMap, parse } from "yaml";
import type { z } from "zod";
import { UserError } from "../errors.js";
import { isWithin, parseFile, plain, withBases } from "./layers.js";
import { problems } from "./problems.js";

/** A validated config and, for each of its values ("optimizer.learning_rate"), where it came from. */
export interface LoadedConfig<T> {
  readonly config: T;
  readonly origins: ReadonlyMap<string, string>;
}

export interface ConfigSource {
  readonly text: string;
  /** Shown in messages and origins. */
  readonly file: string;
  /** `a.b=c`, later ones win; c is parsed by YAML's rules. */
  readonly set?: readonly string[];
}

const hint = "`sightloop train <config> --dry-run` prints every value and where it came from.";

export async function loadConfig<S extends z.ZodType>(
  schema: S,
  file: string,
  set: readonly string[] = [],
): Promise<LoadedConfig<z.infer<S>>> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new UserError(
      "FILE_NOT_FOUND",
      `config ${file} cannot be read: ${(cause as Error).message}`,
      "Check the path.",
      {
        cause,
      },
    );
  }
  return parseConfig(schema, { text, file, set });
}

/** @throws UserError CONFIG_INVALID that lists every problem with its line. */
export function parseConfig<S extends z.ZodType>(schema: S, source: ConfigSource): LoadedConfig<z.infer<S>> {
  const { file, set = [] } = source;
  const own = parseFile(source.text, file);
  // Which files are extended has to be known before the other values can be set in what they hold together.
  const [of_extends, of_values] = [set.filter(isOfExtends), set.filter((assignment) => !isOfExtends(assignment))];
  const bases = applySet(own.document, of_extends);
  for (const [path, place] of bases.applied) {
    for (const known of [...own.places.keys()]) if (isWithin(known, path)) own.places.delete(known);
    own.places.set(path, place);
  }
  const layer = withBases({ value: plain(own.document, file), places: own.places }, file);
  const document = layer.value === undefined ? own.document : new Document(layer.value);
  const overrides = applySet(document, of_values);
  const place = (path: readonly PropertyKey[]): string | undefined =>
    overrides.find(path) ?? layer.places.get(path.map(String).join("."));

  const input: unknown = plain(document, file) ?? {};
  const result = schema.safeParse(input);
  if (!result.success) {
    const found = problems(result.error, schema, input).map(
      ({ path, message }) =>
        `${nearest(place, path) ?? source.file}: ${path.map(String).join(".") || "config"}: ${message}`,
    );
    const title =
      found.length === 1 ? found[0]! : `${found.length} problems\n${found.map((line) => `  ${line}`).join("\n")}`;
    throw new UserError("CONFIG_INVALID", title, hint);
  }
  const origins = new Map<string, string>();
  for (const [path] of leaves(result.data)) origins.set(path.join("."), place(path) ?? "default");
  return { config: result.data, origins };
}

/** Where a relative path under a key starts: the folder of the file that gives it; of `--set`, `set_folder`. */
export const folderOf =
  ({ origins }: LoadedConfig<unknown>, set_folder = process.cwd()) =>
  (key: string): string => {
    const file = /^(.*):\d+$/.exec(origins.get(key) ?? "")?.[1];
    return file === undefined ? set_folder : dirname(file);
  };

/** Every scalar (or empty collection) of a config with its path. */
export function* leaves(
  value: unknown,
  path: readonly (string | number)[] = [],
): Generator<[(string | number)[], unknown]> {
  if (Array.isArray(value) && value.length > 0 && value.some((item) => typeof item === "object" && item !== null)) {
    for (const [i, item] of value.entries()) yield* leaves(item, [...path, i]);
  } else if (typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length > 0) {
    for (const [key, item] of Object.entries(value)) if (item !== undefined) yield* leaves(item, [...path, key]);
  } else yield [[...path], value];
}

const isOfExtends = (assignment: string): boolean => /^extends[.=]/.test(assignment);

function applySet(document: Document, set: readonly string[]) {
  const applied = new Map<string, string>();
  for (const assignment of set) {
    const equals = assignment.indexOf("=");
    const path = assignment.slice(0, equals).split(".");
    if (equals < 1 || path.some((key) => key === ""))
      throw new UserError(
        "CONFIG_INVALID",
        `--set ${assignment}: expected key=value, like optimizer.learning_rate=1e-5`,
        hint,
      );
    let value: unknown;
    try {
      value = parse(assignment.slice(equals + 1));
    } catch (cause) {
      throw new UserError("CONFIG_INVALID", `--set ${assignment}: the value is not valid YAML`, "Quote the value.", {
        cause,
      });
    }
    const blocked = path.slice(0, -1).findIndex((_, i) => {
      const node = document.getIn(path.slice(0, i + 1), true);
      return node !== undefined && node !== null && !isCollection(node);
    });
    if (blocked >= 0)
      throw new UserError(
        "CONFIG_INVALID",
        `--set ${assignment}: ${path.slice(0, blocked + 1).join(".")} is a value, not a block`,
        hint,
      );
    if (document.contents === null || !isMap(document.contents)) document.contents = document.createNode({});
    document.setIn(path, document.createNode(value));
    const key = path.join(".");
    for (const earlier of [...applied.keys()]) if (earlier.startsWith(`${key}.`)) applied.delete(earlier);
    applied.set(key, `--set ${assignment}`);
  }
  /** The override that set this path or a block around it. */
  const find = (path: readonly PropertyKey[]): string | undefined => {
    for (let length = path.length; length > 0; length--) {
      const origin = applied.get(path.slice(0, length).map(String).join("."));
      if (origin !== undefined) return origin;
    }
    return undefined;
  };
  return { find, applied };
}

/** The place of the path, or of the innermost block around it. */
function nearest(
  place: (path: readonly PropertyKey[]) => string | undefined,
  path: readonly PropertyKey[],
): string | undefined {
  for (let length = path.length; length > 0; length--) {
    const found = place(path.slice(0, length));
    if (found !== undefined) return found;
  }
  return undefined;
}
