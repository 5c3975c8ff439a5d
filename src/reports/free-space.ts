import { stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { UserError } from "../errors.js";

/** Bytes that this user may still write where `path` is or will be; undefined where the system does not tell. */
export async function freeBytes(path: string): Promise<number | undefined> {
  let folder = path;
  while (dirname(folder) !== folder && (await stat(folder).catch(() => undefined)) === undefined)
    folder = dirname(folder);
  const status = await statfs(folder).catch(() => undefined);
  // Some virtual file systems count no blocks at all.
  return status === undefined || status.blocks === 0 ? undefined : status.bavail * status.bsize;
}

/** @throws UserError FILE_NOT_WRITABLE naming what `path` takes and what is free */
export async function checkRoom(path: string, bytes: number): Promise<void> {
  const free = await freeBytes(path);
  if (free === undefined || bytes <= free) return;
  throw new UserError(
    "FILE_NOT_WRITABLE",
    `${path} takes ${mebibytes(bytes)}, and ${mebibytes(free)} are free there; nothing was written`,
    "Free space, choose another run_folder, or lower checkpoint.keep_last: a new checkpoint is written before old ones go. " +
      "Earlier checkpoints are whole: --resume.",
  );
}

export const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
