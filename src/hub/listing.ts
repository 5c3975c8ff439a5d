import { z } from "zod";
import { isSafePath, type RepositoryKind } from "./hub-path.js";
import { failed, type Hub, request } from "./request.js";

/** A file of a repository at one commit. */
export interface HubFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Name of its blob in the cache, and its checksum: SHA-256 of a large file, git's SHA-1 of any other. */
  readonly oid: string;
  readonly checksum: "sha256" | "git_sha1";
}

const size = z.int().nonnegative();
const sha1 = z.string().regex(/^[0-9a-f]{40}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const entrySchema = z.object({
  type: z.enum(["file", "directory"]),
  path: z.string(),
  oid: sha1,
  size,
  lfs: z.object({ oid: sha256, size }).nullish(),
});
export const fileSchema = z.object({
  path: z.string(),
  size,
  oid: z.union([sha1, sha256]),
  checksum: z.enum(["sha256", "git_sha1"]),
});

const max_pages = 10_000;

/** The commit that a branch or tag stands for now. */
export async function commitOf(hub: Hub, kind: RepositoryKind, repository: string, revision: string): Promise<string> {
  const what = `${kind} ${repository}@${revision}`;
  const url = `${hub.settings.endpoint}/api/${kind}s/${repository}/revision/${encodeURIComponent(revision)}`;
  const answer = await json(await request(hub, url, { what }), what);
  const result = z.object({ sha: sha1 }).safeParse(answer);
  if (!result.success) throw unexpected(what, "no commit");
  return result.data.sha;
}

/** Every file of a commit, page by page. @throws UserError DOWNLOAD_FAILED for a name that leads out of its folder */
export async function filesOf(
  hub: Hub,
  kind: RepositoryKind,
  repository: string,
  commit: string,
): Promise<readonly HubFile[]> {
  const what = `files of ${kind} ${repository}`;
  const files: HubFile[] = [];
  let url: string | undefined = `${hub.settings.endpoint}/api/${kind}s/${repository}/tree/${commit}?recursive=true`;
  for (let page = 0; url !== undefined; page++) {
    if (page === max_pages) throw unexpected(what, "a list without end");
    const response: Response = await request(hub, url, { what });
    const result = z.array(entrySchema).safeParse(await json(response, what));
    if (!result.success) throw unexpected(what, z.prettifyError(result.error).split("\n")[0]!);
    for (const entry of result.data) if (entry.type === "file") files.push(fileOf(entry, what));
    url = nextPage(response, url, hub, what);
  }
  return files;
}

function fileOf({ path, oid, size, lfs }: z.infer<typeof entrySchema>, what: string): HubFile {
  if (!isSafePath(path))
    throw failed(
      `${what}: the file name ${JSON.stringify(path)} leads out of its folder; nothing was downloaded`,
      "Do not use this repository, or tell its owners.",
    );
  return lfs == null
    ? { path, size, oid, checksum: "git_sha1" }
    : { path, size: lfs.size, oid: lfs.oid, checksum: "sha256" };
}

/** `Link: <address>; rel="next"` */
function nextPage(response: Response, from: string, { settings }: Hub, what: string): string | undefined {
  const link = response.headers.get("link");
  const target = link === null ? undefined : /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec(link)?.[1];
  if (target === undefined) return undefined;
  if (!URL.canParse(target, from) || new URL(target, from).origin !== new URL(settings.endpoint).origin)
    throw unexpected(what, "a next page at another address");
  return new URL(target, from).href;
}

async function json(response: Response, what: string): Promise<unknown> {
  try {
    return await response.json();
  } catch (error) {
    throw failed(`${what}: the hub's answer is not JSON`, check_endpoint, error);
  }
}

const check_endpoint = "Check HF_ENDPOINT, and whether a proxy answers in the hub's place.";
const unexpected = (what: string, found: string) =>
  failed(`${what}: the hub's answer is not understood (${found})`, check_endpoint);
