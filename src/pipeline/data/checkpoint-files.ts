import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../../errors.js";

export type JsonObject = Readonly<Record<string, unknown>>;

const RESTORE = "Restore the file from where the checkpoint came from, or give the folder of a complete checkpoint.";

const causeOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Text of one of a checkpoint's files, or undefined where the folder lacks it. */
export async function readText(folder: string, name: string): Promise<string | undefined> {
  const path = join(folder, name);
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new UserError("CHECKPOINT_INVALID", `${path}: cannot be read (${causeOf(error)})`, RESTORE, { cause: error });
  }
}

/** A JSON object out of a checkpoint's folder, or undefined where the folder lacks the file. */
export async function readJson(folder: string, name: string): Promise<JsonObject | undefined> {
  const text = await readText(folder, name);
  if (text === undefined) return undefined;
  const path = join(folder, name);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError("CHECKPOINT_INVALID", `${path}: not valid JSON (${causeOf(error)})`, RESTORE, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new UserError("CHECKPOINT_INVALID", `${path}: expected a JSON object`, RESTORE);
  return value as JsonObject;
}

export function missingFile(folder: string, names: readonly string[], what: string): UserError {
  return new UserError("FILE_NOT_FOUND", `${folder}: ${what} is missing (looked for ${names.join(", ")})`, RESTORE);
}

/** `value` as `schema` describes it. @throws UserError CHECKPOINT_INVALID naming the file and every wrong key */
export function parseAs<T extends z.ZodType>(schema: T, value: unknown, path: string): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new UserError("CHECKPOINT_INVALID", `${path}: unexpected content\n${z.prettifyError(result.error)}`, RESTORE);
}
