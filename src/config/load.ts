import { readFile } from "node:fs/promises";
import type { Document } from "yaml";
import { isCollection, isMap, isPair, LineCounter, parse, parseDocument } from "yaml";
import type { z } from "zod";
import { UserError } from "../errors.js";
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
  const lines = new LineCounter();
  const unreadable = (what: string, cause: unknown): UserError =>
    new UserError("CONFIG_INVALID", `${source.file}: not a config: ${what}`, "Write plain nested keys and values.", {
      cause,
    });
  const document = orElse(unreadable, () => parseDocument(source.text, { lineCounter: lines }));
  const syntax = document.errors[0];
  if (syntax !== undefined) {
    const line = syntax.linePos?.[0].line ?? 1;
    const what = syntax.message.split("\n")[0]!.replace(/ at line \d+, column \d+:?$/, "");
    throw new UserError("CONFIG_INVALID", `${source.file}:${line}: not valid YAML: ${what}`, "Correct that line.");
  }
  const origin = originFinder(document, lines, source.file);
  const overrides = applySet(document, source.set ?? []);
  const place = (path: readonly PropertyKey[]): string | undefined => overrides.find(path) ?? origin(path);

  const input: unknown = orElse(unreadable, () => document.toJS() as unknown) ?? {};
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

/** What makes the YAML library give up: aliases that lead nowhere or multiply without end, nesting beyond the stack. */
function orElse<T>(unreadable: (what: string, cause: unknown) => UserError, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw unreadable(error instanceof RangeError ? "it is nested too deeply" : (error as Error).message, error);
  }
}

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

/** file:line of a path that the file sets, else undefined. Reads the document as it is now. */
function originFinder(document: Document, lines: LineCounter, file: string) {
  const found = new Map<string, string>();
  const visit = (node: unknown, path: readonly string[]): void => {
    if (!isCollection(node)) return;
    node.items.forEach((item, i) => {
      const [key, start, value] = isPair(item)
        ? [String(item.key), (item.key as { range?: number[] }).range?.[0], item.value]
        : [String(i), (item as { range?: number[] }).range?.[0], item];
      const inner = [...path, key];
      if (start !== undefined) found.set(inner.join("."), `${file}:${lines.linePos(start).line}`);
      visit(value, inner);
    });
  };
  visit(document.contents, []);
  return (path: readonly PropertyKey[]): string | undefined => found.get(path.map(String).join("."));
}

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
  return { find };
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
