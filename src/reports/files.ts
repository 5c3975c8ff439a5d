import { mkdir, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { UserError } from "../errors.js";

/** Failures of the disk that a user can mend, by the system's name. */
const mendable: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  EEXIST: "a file of that name is in the way",
  ENOTDIR: "a part of the path is a file, not a folder",
  EMFILE: "too many open files",
  ENAMETOOLONG: "its name is too long",
};

/** Runs a piece of writing; a full disk or a missing permission becomes a UserError that names the path. */
export async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const { code = "", path: named = path, message } = cause as NodeJS.ErrnoException;
    const is_native = cause instanceof UserError && /: cannot be written: No space/.test(message);
    const reason = mendable[code];
    if (reason === undefined && !is_native) throw cause;
    const free = is_native || code === "ENOSPC" ? await freeSpace(path) : "";
    throw new UserError(
      "FILE_NOT_WRITABLE",
      is_native ? `${message.replace(/\. .*$/, "")}${free}` : `${named} cannot be written: ${reason} (${code})${free}`,
      "Free space, correct the permissions, or choose another folder. A run keeps its earlier checkpoints: --resume.",
      { cause },
    );
  }
}

/**
 * Makes a folder and those above it that are missing. Node's own recursive mkdir never returns where a file system
 * answers ENOENT although the folder above is there, as /proc does.
 */
export async function makeFolder(path: string): Promise<void> {
  if (await isFolder(path)) return;
  const above = dirname(path);
  if (above !== path) await makeFolder(above);
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && (await isFolder(path))) return; // made by another process meanwhile
    if (code !== "ENOENT") throw error;
    throw new UserError(
      "FILE_NOT_WRITABLE",
      `${path} cannot be made: no folders can be made in ${above}`,
      "Choose a folder on a disk.",
      { cause: error },
    );
  }
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (status) => status.isDirectory(),
    () => false,
  );

/** Room on the disk of a path once what could not be finished has been removed. */
async function freeSpace(path: string): Promise<string> {
  const status = await statfs(path).catch(() => statfs(dirname(path)).catch(() => undefined));
  if (status === undefined) return "";
  return `; ${((status.bavail * status.bsize) / 2 ** 20).toFixed(1)} MiB are free there`;
}

/** Files that a process which died has left half written. */
export const isLeftover = (name: string): boolean => /\.tmp(-\d+)?$/.test(name);

/** Removes the leftovers of a folder, if it is there. */
export async function sweep(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) if (isLeftover(name)) await rm(join(folder, name), { force: true });
}

/** Replaces a file as a whole: a reader sees the old text or the new one, also after a power cut. */
export async function writeAtomically(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = `${path}.tmp-${process.pid}`;
  const handle = await open(temporary, "w");
  try {
    await handle.writeFile(data);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Flushes every file below a folder, then the folders, innermost first. */
export async function syncTree(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await syncTree(path);
    else {
      const handle = await open(path, "r");
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    }
  }
  await syncFolder(folder);
}

/** Names in a folder, sorted; none if it does not exist. */
export async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
