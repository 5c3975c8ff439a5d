import { readdir, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { UserError } from "../../errors.js";

/** Words for one split in names of files and folders, as Hugging Face's `datasets` knows them. */
const synonyms: Readonly<Record<string, readonly string[]>> = {
  train: ["train", "training"],
  validation: ["validation", "valid", "val", "dev"],
  test: ["test", "testing", "eval", "evaluation"],
};

const names = (path: string, words: readonly string[]): boolean =>
  words.some((word) => new RegExp(`(^|[-._ 0-9/])${word.replace(/[^\w]/g, "\\$&")}[-._ 0-9/]`).test(path));

interface Choice {
  /** Only files here, below here, or this very file. */
  readonly inside: string;
  readonly split: string | undefined;
  /** For messages. */
  readonly where: string;
}

/** Of paths with "/": the parquet files of a split, sorted. @throws UserError DATASET_INVALID */
export function filesOfSplit(paths: readonly string[], { inside, split, where }: Choice): readonly string[] {
  const all = paths
    .filter((path) => path.endsWith(".parquet") && (inside === "" || path === inside || path.startsWith(`${inside}/`)))
    .filter((path) => !path.split("/").some((part) => part.startsWith(".")))
    .sort();
  if (all.length === 0)
    throw new UserError(
      "DATASET_INVALID",
      `${where} holds no parquet file`,
      "Name a *.parquet file, or a folder of them.",
    );
  if (all.length === 1 && all[0] === inside) return all;
  const found = Object.keys(synonyms).filter((name) => all.some((path) => names(path, synonyms[name]!)));
  const list = `it has ${all.slice(0, 6).join(", ")}${all.length > 6 ? `, ... (${all.length} files)` : ""}`;
  if (split === undefined) {
    if (found.length <= 1) return all;
    throw new UserError(
      "DATASET_INVALID",
      `${where} holds several splits (${found.join(", ")}); ${list}`,
      "Say which by split, such as split: train.",
    );
  }
  const chosen = all.filter((path) => names(path, synonyms[split] ?? [split]));
  if (chosen.length > 0) return chosen;
  throw new UserError(
    "DATASET_INVALID",
    `${where} holds no parquet file of split "${split}"; ${list}`,
    "Check split; a file belongs to it if its name or folder holds the word.",
  );
}

/** Names of parquet files relative to `root`; "" if it is a file itself. */
export async function findFiles(root: string, split: string | undefined): Promise<readonly string[]> {
  const status = await stat(root).catch(() => undefined);
  if (status === undefined)
    throw new UserError(
      "FILE_NOT_FOUND",
      `dataset ${root} does not exist`,
      "Check the path. One on the hub is written org/name or hf:org/name.",
    );
  if (!status.isDirectory()) return [""];
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join("/"));
  return filesOfSplit(paths, { inside: "", split, where: root });
}
