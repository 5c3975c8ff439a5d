import { readFileSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { type Document, isCollection, isPair, LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { UserError } from "../errors.js";

/**
 * What a config file may say in `extends`: one file, several, or several by name, so that `--set extends.<name>=<file>` puts
 * another in its place and null leaves it out. Later ones win over earlier ones, and the file's own keys over all. Paths start
 * at the folder of the file that names them; those of `--set` at the current folder.
 */
export const extendsSchema = z.union([
  z.string().min(1),
  z.array(z.string().min(1)),
  z.record(z.string(), z.string().min(1).nullable()),
]);

/** A config as it stands in one file, or in a file and all that it extends. */
export interface Layer {
  readonly value: unknown;
  /** file:line of every key, by its path ("optimizer.learning_rate"). */
  readonly places: Map<string, string>;
}

export interface ParsedFile {
  readonly document: Document;
  readonly places: Map<string, string>;
}

/** @throws UserError CONFIG_INVALID naming the line */
export function parseFile(text: string, file: string): ParsedFile {
  const lines = new LineCounter();
  const document = orElse(file, () => parseDocument(text, { lineCounter: lines }));
  const syntax = document.errors[0];
  if (syntax !== undefined) {
    const line = syntax.linePos?.[0].line ?? 1;
    const what = syntax.message.split("\n")[0]!.replace(/ at line \d+, column \d+:?$/, "");
    throw new UserError("CONFIG_INVALID", `${file}:${line}: not valid YAML: ${what}`, "Correct that line.");
  }
  return { document, places: placesOf(document, lines, file) };
}

/** The plain value of a document; undefined for an empty one. */
export const plain = (document: Document, file: string): unknown => orElse(file, () => document.toJS() as unknown);

/** What makes the YAML library give up: aliases that lead nowhere or multiply without end, nesting beyond the stack. */
function orElse<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const what = cause instanceof RangeError ? "it is nested too deeply" : (cause as Error).message;
    throw new UserError("CONFIG_INVALID", `${file}: not a config: ${what}`, "Write plain nested keys and values.", {
      cause,
    });
  }
}

function placesOf(document: Document, lines: LineCounter, file: string): Map<string, string> {
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
  return found;
}

/**
 * Lays a file's own keys over those of the files it extends.
 * @throws UserError CONFIG_INVALID for an `extends` that is no path, cannot be read, or comes back to itself
 */
export function withBases(own: Layer, file: string, chain: readonly string[] = []): Layer {
  if (!isBlock(own.value) || !("extends" in own.value)) return own;
  const { extends: given, ...value } = own.value;
  const places = new Map([...own.places].filter(([path]) => !isWithin(path, "extends")));
  const here = [...chain, resolve(file)];
  const place = (key: string): string => own.places.get(key) ?? own.places.get("extends") ?? file;
  const parsed = extendsSchema.safeParse(given);
  if (!parsed.success)
    throw new UserError(
      "CONFIG_INVALID",
      `${place("extends")}: extends: expected a file, a list of files, or files by name`,
      "Write `extends: base.yaml`, or `extends: { model: models/a.yaml, data: data/b.yaml }`.",
    );
  const named = typeof parsed.data === "string" ? [["extends", parsed.data] as const] : entries(parsed.data, "extends");
  let base: Layer = { value: undefined, places: new Map() };
  for (const [key, path] of named) {
    if (path === null) continue;
    const folder = place(key).startsWith("--set ") ? "." : dirname(file);
    base = overlay(base, readBase(resolve(folder, path), path, place(key), here));
  }
  return overlay(base, { value, places });
}

const entries = (paths: readonly string[] | Readonly<Record<string, string | null>>, parent: string) =>
  Object.entries(paths).map(([key, path]) => [`${parent}.${key}`, path] as const);

function readBase(absolute: string, path: string, place: string, chain: readonly string[]): Layer {
  if (chain.includes(absolute)) {
    const circle = [...chain.slice(chain.indexOf(absolute)), absolute];
    throw new UserError(
      "CONFIG_INVALID",
      `${place}: extends: ${circle.join(" extends ")}: a circle`,
      "Take one of these extends out.",
    );
  }
  let text: string;
  try {
    text = readFileSync(absolute, "utf8");
  } catch (cause) {
    throw new UserError(
      "CONFIG_INVALID",
      `${place}: extends: ${path} cannot be read: ${(cause as Error).message}`,
      "Paths start at the folder of the file that names them, those of --set at the current folder.",
      { cause },
    );
  }
  const shown = relativeTo(place, path);
  const { document, places } = parseFile(text, shown);
  const layer = { value: plain(document, shown) ?? {}, places };
  if (!isBlock(layer.value))
    throw new UserError("CONFIG_INVALID", `${shown}: not a config: expected keys`, "Write nested keys and values.");
  return withBases(layer, absolute, chain);
}

/** As messages call a base: beside the file that names it, or as `--set` wrote it. */
const relativeTo = (place: string, path: string): string => {
  const file = /^(.*):\d+$/.exec(place)?.[1];
  return file === undefined || isAbsolute(path) ? path : join(dirname(file), path);
};

type Block = Readonly<Record<string, unknown>>;
const isBlock = (value: unknown): value is Block =>
  typeof value === "object" && value !== null && !Array.isArray(value);
/** True for the block itself and for what is in it. */
export const isWithin = (path: string, block: string): boolean => path === block || path.startsWith(`${block}.`);

/** Blocks are laid over each other key by key, but one of another `name` replaces the block below; lists are replaced. */
function overlay(below: Layer, above: Layer): Layer {
  const places = new Map(below.places);
  const lay = (under: unknown, over: unknown, path: string): unknown => {
    const both = isBlock(under) && isBlock(over);
    if (both && !("name" in under && "name" in over && under["name"] !== over["name"])) {
      const inner = (key: string): string => (path === "" ? key : `${path}.${key}`);
      const laid = Object.entries(over).map(([key, value]) => [key, lay(under[key], value, inner(key))] as const);
      return { ...under, ...Object.fromEntries(laid) };
    }
    for (const known of [...places.keys()]) if (path === "" || isWithin(known, path)) places.delete(known);
    return over;
  };
  const value = lay(below.value, above.value, "");
  for (const [path, place] of above.places) places.set(path, place);
  return { value, places };
}
