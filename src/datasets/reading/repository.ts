import { dirname } from "node:path/posix";

/** Of a repository's files: `path` and all that lies in its folder and below. */
export function besideAndBelow(files: readonly string[], path: string): readonly string[] {
  const folder = dirname(path);
  return folder === "." ? files : files.filter((file) => file.startsWith(`${folder}/`));
}
