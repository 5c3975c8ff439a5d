import { UserError } from "../errors.js";
import { RepositoryCache } from "./cache.js";
import type { HubPath, RepositoryKind } from "./hub-path.js";
import { commitOf, filesOf, type HubFile } from "./listing.js";
import type { HubOptions } from "./options.js";
import { failed, type Hub } from "./request.js";
import { hubSettings } from "./settings.js";
import { transfer } from "./transfer.js";

export interface Snapshot {
  /** Holds the chosen files under their paths in the repository. */
  readonly folder: string;
  readonly commit: string;
}

const files_at_once = 4;

/**
 * The chosen files of a repository in the cache folder, downloaded where they are missing.
 * @param choose picks from the paths of all files; @throws to refuse a repository that lacks what is needed
 * @throws UserError DOWNLOAD_FAILED, FILE_NOT_WRITABLE
 */
export async function snapshot(
  kind: RepositoryKind,
  { repository, revision }: Pick<HubPath, "repository" | "revision">,
  choose: (paths: readonly string[]) => readonly string[],
  options: HubOptions = {},
): Promise<Snapshot> {
  const hub: Hub = { settings: hubSettings(options), options };
  const cache = new RepositoryCache(hub.settings.cache, kind, repository);
  const what = `${kind} ${repository}@${revision}`;
  try {
    const commit = await findCommit(hub, cache, kind, repository, revision);
    const folder = cache.snapshot(commit);
    const known = await cache.files(commit);
    if (known === undefined && hub.settings.offline) {
      choose(await cache.paths(commit)); // of another program's making: what is there is taken for all there is
      return { folder, commit };
    }
    const files = known ?? (await filesOf(hub, kind, repository, commit));
    if (known === undefined) await cache.setFiles(commit, files);
    const chosen = new Set(choose(files.map(({ path }) => path)));
    await fetchAll(
      hub,
      cache,
      commit,
      files.filter(({ path }) => chosen.has(path)),
      { kind, repository },
    );
    return { folder, commit };
  } catch (error) {
    if (options.signal?.aborted === true)
      throw new UserError(
        "INTERRUPTED",
        `interrupted while downloading ${what}`,
        "Run it again: what has arrived is kept.",
        { cause: error },
      );
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof UserError || !/^(ENOSPC|EDQUOT|EACCES|EPERM|EROFS|ENOTDIR)$/.test(code ?? "")) throw error;
    throw new UserError(
      "FILE_NOT_WRITABLE",
      `${what}: the cache folder ${hub.settings.cache} cannot be written (${message})`,
      "Free some space, or set HF_HUB_CACHE to a folder that can be written.",
      { cause: error },
    );
  }
}

async function findCommit(
  hub: Hub,
  cache: RepositoryCache,
  kind: RepositoryKind,
  repository: string,
  revision: string,
): Promise<string> {
  if (/^[0-9a-f]{40}$/.test(revision)) return revision;
  if (!hub.settings.offline) {
    const commit = await commitOf(hub, kind, repository, revision);
    await cache.setCommit(revision, commit);
    return commit;
  }
  const commit = await cache.commit(revision);
  if (commit !== undefined) return commit;
  throw failed(
    `${kind} ${repository}@${revision} was never downloaded to ${hub.settings.cache}, and HF_HUB_OFFLINE is set`,
    "Unset HF_HUB_OFFLINE, or give a local folder.",
  );
}

async function fetchAll(
  hub: Hub,
  cache: RepositoryCache,
  commit: string,
  files: readonly HubFile[],
  { kind, repository }: { readonly kind: RepositoryKind; readonly repository: string },
): Promise<void> {
  const missing = await missingOf(cache, commit, files);
  if (missing.length === 0) return;
  if (hub.settings.offline)
    throw failed(
      `${kind} ${repository}: ${missing.length} of ${files.length} files were not downloaded (${missing[0]!.path}), and HF_HUB_OFFLINE is set`,
      "Unset HF_HUB_OFFLINE to download the rest.",
    );
  await using _lock = await cache.lock(hub.options.signal);
  const left = await missingOf(cache, commit, missing); // another process may have been at it
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let done = total - left.reduce((sum, { size }) => sum + size, 0);
  await cache.makeRoom(total - done);
  const on_bytes = (count: number): void => {
    done += count;
    hub.options.on_progress?.({ repository, done, total });
  };
  const prefix = `${hub.settings.endpoint}/${kind === "dataset" ? "datasets/" : ""}${repository}/resolve/${commit}`;
  const blobs = new Map(left.map((file) => [file.oid, file])).values(); // equal files are one blob
  const failing = new AbortController();
  const signals = [failing.signal, ...(hub.options.signal === undefined ? [] : [hub.options.signal])];
  const watched = { ...hub, options: { ...hub.options, signal: AbortSignal.any(signals) } };
  const work = async (): Promise<void> => {
    for (const file of blobs) {
      const url = `${prefix}/${file.path.split("/").map(encodeURIComponent).join("/")}`;
      const what = `${file.path} of ${kind} ${repository}`;
      await transfer(watched, { file, url, target: cache.blob(file), what, on_bytes });
    }
  };
  const workers = Array.from({ length: files_at_once }, () =>
    work().catch((error: unknown) => {
      failing.abort(error);
      throw error;
    }),
  );
  const results = await Promise.allSettled(workers); // nothing is left running when the lock is given back
  hub.options.signal?.throwIfAborted();
  if (failing.signal.aborted) throw failing.signal.reason;
  for (const result of results) if (result.status === "rejected") throw result.reason;
  for (const file of left) await cache.link(commit, file);
}

async function missingOf(
  cache: RepositoryCache,
  commit: string,
  files: readonly HubFile[],
): Promise<readonly HubFile[]> {
  const missing: HubFile[] = [];
  for (const file of files) if (!(await cache.has(commit, file))) missing.push(file);
  return missing;
}
