import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, stat, statfs, symlink, unlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { UserError } from "../errors.js";
import { lockFolder } from "../reports/lock.js";
import type { RepositoryKind } from "./hub-path.js";
import { fileSchema, type HubFile } from "./listing.js";

/**
 * One repository in the cache folder, laid out as Hugging Face's Python tools do, so that either side finds what the other
 * has downloaded: blobs/<checksum>, snapshots/<commit>/<path> as links to them, refs/<revision> holding a commit. Ours
 * alone: listings/<commit>.json, the files of a commit.
 */
export class RepositoryCache {
  readonly #folder: string;
  readonly #locks: string;

  constructor(cache: string, kind: RepositoryKind, repository: string) {
    const name = `${kind}s--${repository.replace("/", "--")}`;
    this.#folder = join(cache, name);
    this.#locks = join(cache, ".locks", name);
  }

  blob = (file: HubFile): string => join(this.#folder, "blobs", file.oid);
  snapshot = (commit: string): string => join(this.#folder, "snapshots", commit);

  async commit(revision: string): Promise<string | undefined> {
    const text = await readFile(join(this.#folder, "refs", revision), "utf8").catch(() => "");
    return /^[0-9a-f]{40}$/.test(text.trim()) ? text.trim() : undefined;
  }

  setCommit(revision: string, commit: string): Promise<void> {
    return writeWhole(join(this.#folder, "refs", revision), commit);
  }

  /** The listing of a commit, if it was ever fetched. */
  async files(commit: string): Promise<readonly HubFile[] | undefined> {
    const text = await readFile(this.#listing(commit), "utf8").catch(() => undefined);
    if (text === undefined) return undefined;
    try {
      return z.array(fileSchema).parse(JSON.parse(text));
    } catch {
      return undefined; // damaged: it is fetched again
    }
  }

  setFiles(commit: string, files: readonly HubFile[]): Promise<void> {
    return writeWhole(this.#listing(commit), JSON.stringify(files));
  }

  #listing = (commit: string): string => join(this.#folder, "listings", `${commit}.json`);

  /** Paths in a snapshot that another program made. */
  async paths(commit: string): Promise<readonly string[]> {
    const root = this.snapshot(commit);
    const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => relative(root, join(entry.parentPath, entry.name)));
  }

  /** Whether the snapshot has the whole file; one whose blob is there is linked first. */
  async has(commit: string, file: HubFile): Promise<boolean> {
    const sizeOf = async (path: string) => (await stat(path).catch(() => undefined))?.size;
    if ((await sizeOf(join(this.snapshot(commit), file.path))) === file.size) return true;
    if ((await sizeOf(this.blob(file))) !== file.size) return false;
    await this.link(commit, file);
    return true;
  }

  async link(commit: string, file: HubFile): Promise<void> {
    const path = join(this.snapshot(commit), file.path);
    await mkdir(dirname(path), { recursive: true });
    await unlink(path).catch(() => {});
    await symlink(relative(dirname(path), this.blob(file)), path);
  }

  /** @throws UserError FILE_NOT_WRITABLE if the disk cannot hold so many bytes more */
  async makeRoom(bytes: number): Promise<void> {
    await mkdir(join(this.#folder, "blobs"), { recursive: true });
    const { bavail, bsize } = await statfs(this.#folder);
    if (bavail * bsize >= bytes) return;
    const gib = (count: number): string => `${(count / 2 ** 30).toFixed(1)} GiB`;
    throw new UserError(
      "FILE_NOT_WRITABLE",
      `${this.#folder}: ${gib(bytes)} are to be downloaded, ${gib(bavail * bsize)} are free`,
      "Free some space, or set HF_HUB_CACHE to a folder on a larger disk.",
    );
  }

  /** Waits while another process downloads the same repository. */
  async lock(signal: AbortSignal | undefined): Promise<AsyncDisposable> {
    await mkdir(this.#locks, { recursive: true });
    for (;;) {
      try {
        const unlock = await lockFolder(this.#locks);
        return { [Symbol.asyncDispose]: unlock };
      } catch (error) {
        if (!(error instanceof UserError) || error.code !== "RUN_FOLDER_IN_USE") throw error;
      }
      await sleep(100, undefined, { signal });
    }
  }
}

async function writeWhole(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const part = `${path}.${randomUUID()}.part`;
  await writeFile(part, text);
  await rename(part, path);
}
