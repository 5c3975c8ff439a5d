import { BadRow } from "./bad-row.js";

/** @throws BadRow */
export function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new BadRow("not UTF-8 text; convert the file to UTF-8 (and unpack it if it is compressed)");
  }
}

/** @throws BadRow for anything but text that says something */
export function stringOf(key: string, value: unknown): string {
  if (value === undefined || value === null) throw new BadRow(`"${key}" is missing; add it`);
  if (typeof value !== "string") throw new BadRow(`"${key}" is ${show(value)}; expected text`);
  if (value.trim() === "") throw new BadRow(`"${key}" is empty; fill it in or remove the row`);
  return value;
}

/** Text, or a number turned into text. @throws BadRow */
export function textOf(key: string, value: unknown): string {
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "number") return stringOf(key, value);
  if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value)))
    throw new BadRow(`"${key}" is a number that JSON cannot carry exactly; write it as text, in quotes`);
  return String(value);
}

/** @throws BadRow */
export function objectOf(value: unknown, example: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new BadRow(`expected an object, got ${show(value)}; write ${example}`);
  return value as Record<string, unknown>;
}

/** @throws BadRow */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BadRow(`not valid JSON: ${(error as Error).message}; write one complete object a line`);
  }
}

/** A value of a row, short enough for a message. */
export function show(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    return "a value that is nested too deeply";
  }
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
