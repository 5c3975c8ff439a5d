import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { UserError } from "../errors.js";

export type RepositoryKind = "model" | "dataset";

/** A path that leads to the hub: `[hf:]org/name[@revision][/path]`. */
export interface HubPath {
  /** `org/name` */
  readonly repository: string;
  /** Branch, tag or commit. */
  readonly revision: string;
  /** Inside the repository; "" is its root. */
  readonly path: string;
}

const name = "[A-Za-z0-9_][A-Za-z0-9_.-]*";
const whole = new RegExp(`^(${name}/${name})(?:@([A-Za-z0-9_.-]+))?(?:/(.*))?$`);

/**
 * What `text` names on the hub; undefined for a path of this machine. `hf:` makes sure; without it a path of exactly two
 * parts, `org/name`, is taken for the hub's unless it, or a folder `org`, exists here.
 * @throws UserError CONFIG_INVALID for a malformed one after `hf:`
 */
export function parseHubPath(text: string, base_folder: string): HubPath | undefined {
  const explicit = text.startsWith("hf:");
  const match = whole.exec(explicit ? text.slice(3) : text);
  const [, repository, revision = "main", path = ""] = match ?? [];
  const valid = repository !== undefined && !`${repository}@${revision}`.includes("..") && isSafePath(path, true);
  if (explicit && !valid)
    throw new UserError(
      "CONFIG_INVALID",
      `${JSON.stringify(text)} is not a path on the hub`,
      "Write hf:org/name, hf:org/name@revision or hf:org/name@revision/path (a revision without slashes).",
    );
  if (!valid) return undefined;
  if (!explicit && (path !== "" || existsHere(text, repository, base_folder))) return undefined;
  return { repository, revision, path: path.replace(/\/$/, "") };
}

const existsHere = (text: string, repository: string, base_folder: string): boolean =>
  existsSync(resolve(base_folder, text)) || existsSync(resolve(base_folder, repository.split("/")[0]!));

/** Whether a path of a repository stays inside the folder that it is written to. */
export function isSafePath(path: string, may_be_empty = false): boolean {
  if (path === "") return may_be_empty;
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\\\x00-\x1f:]/.test(path)) return false;
  return path
    .split("/")
    .every((part, i, parts) => part !== "." && part !== ".." && (part !== "" || isLast(i, parts, may_be_empty)));
}

/** A slash at the end is harmless in what a person writes. */
const isLast = (i: number, parts: readonly string[], allowed: boolean): boolean =>
  allowed && i === parts.length - 1 && i > 0;

/** How a config names the same files for ever. */
export const pinnedPath = ({ repository, path }: HubPath, commit: string): string =>
  `hf:${repository}@${commit}${path === "" ? "" : `/${path}`}`;
