import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { ImageSource } from "../../batches/sample.js";
import { BadRow } from "./bad-row.js";
import { show } from "./values.js";

/** A path, or a list of paths; relative ones start at `folder`. @throws BadRow */
export function imagePaths(key: string, value: unknown, folder: string): readonly ImageSource[] {
  if (value === undefined || value === null) return [];
  const paths: readonly unknown[] = Array.isArray(value) ? value : [value];
  return paths.map((path) => {
    if (typeof path !== "string") throw new BadRow(`"${key}" holds ${show(path)}; expected a path or a list of paths`);
    if (path.trim() === "") throw new BadRow(`"${key}" holds an empty path; remove it`);
    if (/^(https?|data|file):/i.test(path))
      throw new BadRow(`"${key}" is ${show(path)}; download the image and give its path`);
    return { path: resolve(folder, path) };
  });
}

/** What is wrong with image files, by path; files that are there and not empty are left out. */
export async function missingImages(paths: Iterable<string>): Promise<ReadonlyMap<string, string>> {
  const problems = new Map<string, string>();
  const rest = new Set(paths).values();
  const work = async (): Promise<void> => {
    for (const path of rest) {
      const found = await stat(path).catch(() => undefined);
      if (found === undefined) problems.set(path, `image ${path} does not exist`);
      else if (!found.isFile()) problems.set(path, `image ${path} is not a file`);
      else if (found.size === 0) problems.set(path, `image ${path} is empty`);
    }
  };
  await Promise.all(Array.from({ length: 16 }, work)); // they share the iterator
  return problems;
}
