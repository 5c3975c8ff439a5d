import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { UserError } from "../errors.js";
import { parseHubPath, pinnedPath } from "./hub-path.js";
import type { HubOptions } from "./options.js";
import { failed } from "./request.js";
import { snapshot } from "./snapshot.js";

export interface Located {
  /** Of this machine. */
  readonly path: string;
  /** The same on the hub, by commit; undefined for what was local from the start. */
  readonly pinned?: string | undefined;
}

/** The files of a checkpoint in safetensors; weights of other formats, and of other programs, stay where they are. */
const isOfModel = (name: string): boolean =>
  !name.includes("/") && /\.(safetensors|json|txt|jinja|model)$/.test(name) && !/^(consolidated|adapter_)/.test(name);

/**
 * The folder of a model: one of this machine, or downloaded from the hub.
 * @param part `processor`: all but the weights
 * @throws UserError FILE_NOT_FOUND, DOWNLOAD_FAILED
 */
export async function locateModel(
  path: string,
  hub: HubOptions = {},
  part: "all" | "processor" = "all",
): Promise<Located> {
  const named = parseHubPath(path, ".");
  if (named === undefined) {
    const status = await stat(path).catch(() => undefined);
    if (status?.isDirectory() === true) return { path };
    throw new UserError(
      "FILE_NOT_FOUND",
      status === undefined ? `the model folder ${path} does not exist` : `the model ${path} is a file, not a folder`,
      "Name a folder in the Hugging Face layout (config.json, *.safetensors, tokenizer.json), or a model of the hub " +
        "(hf:org/name); `sightloop init` makes a new one.",
    );
  }
  const prefix = named.path === "" ? "" : `${named.path}/`;
  const choose = (paths: readonly string[]): readonly string[] => {
    const chosen = paths.filter((name) => name.startsWith(prefix) && isOfModel(name.slice(prefix.length)));
    const isWeights = (name: string): boolean => name.endsWith(".safetensors");
    if (chosen.some(isWeights) && chosen.includes(`${prefix}config.json`))
      return part === "all" ? chosen : chosen.filter((name) => !isWeights(name));
    throw failed(`${path} holds no model: config.json or *.safetensors is missing`, "Name another model or revision.");
  };
  const { folder, commit } = await naming(path, () => snapshot("model", named, choose, hub));
  return { path: join(folder, named.path), pinned: pinnedPath(named, commit) };
}

/** A path without `hf:` may have been meant for this machine. */
async function naming<T>(path: string, download: () => Promise<T>): Promise<T> {
  try {
    return await download();
  } catch (error) {
    if (path.startsWith("hf:") || !(error instanceof UserError) || error.code !== "DOWNLOAD_FAILED") throw error;
    throw failed(`there is no folder ${path} here, and as a name on the hub: ${error.message}`, error.hint, error);
  }
}

export interface LocateDataset {
  /** Where relative paths start. */
  readonly base_folder: string;
  readonly hub?: HubOptions | undefined;
  /** Which of a repository's files belong to what `path` names inside it. */
  readonly select: (files: readonly string[], path: string) => readonly string[];
}

/**
 * The file or folder of a dataset: one of this machine (which may not exist), or downloaded from the hub.
 * @throws UserError DOWNLOAD_FAILED
 */
export async function locateDataset(path: string, { base_folder, hub = {}, select }: LocateDataset): Promise<Located> {
  const named = parseHubPath(path, base_folder);
  if (named === undefined) return { path: resolve(base_folder, path) };
  const choose = (files: readonly string[]): readonly string[] => {
    if (named.path !== "" && !files.some((file) => file === named.path || file.startsWith(`${named.path}/`)))
      throw failed(`dataset ${named.repository} has no ${named.path}`, `It has ${someOf(files)}.`);
    return select(files, named.path);
  };
  const { folder, commit } = await naming(path, () => snapshot("dataset", named, choose, hub));
  return { path: join(folder, named.path), pinned: pinnedPath(named, commit) };
}

const someOf = (files: readonly string[]): string =>
  files.slice(0, 8).join(", ") + (files.length > 8 ? `, ... (${files.length} files)` : "");
