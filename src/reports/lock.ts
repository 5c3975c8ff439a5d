import { open, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { UserError } from "../errors.js";

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Ticks since boot at which the process started (Linux): tells a reused pid from the holder. */
  readonly started: string | null;
}

/** Folders locked by this process; a pid alone cannot tell two runs of one process apart. */
const held = new Set<string>();

/**
 * Takes the folder for this process until the returned function is called. The lock of a process that has died is
 * taken over.
 * @throws UserError RUN_FOLDER_IN_USE
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(resolve(folder), "lock");
  if (held.has(path)) throw inUse(folder, process.pid);
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const handle = await open(path, "wx");
      held.add(path);
      try {
        await handle.writeFile(
          JSON.stringify({ pid: process.pid, host: hostname(), started: await startOf(process.pid) }),
        );
      } finally {
        await handle.close();
      }
      return async () => {
        held.delete(path);
        await rm(path, { force: true });
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = await readHolder(path);
    if (holder !== undefined && (await isAlive(holder))) throw inUse(folder, holder.pid);
    await rm(path, { force: true });
  }
  throw inUse(folder, undefined);
}

function inUse(folder: string, pid: number | undefined): UserError {
  return new UserError(
    "RUN_FOLDER_IN_USE",
    `${folder} is in use by another run${pid === undefined ? "" : ` (process ${pid})`}`,
    `Wait for it, choose another run_folder, or delete ${join(folder, "lock")} if that process is not a training.`,
  );
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Holder;
  } catch {
    return undefined; // gone meanwhile, or cut off when its writer died
  }
}

async function isAlive(holder: Holder): Promise<boolean> {
  if (holder.host !== hostname()) return true; // cannot be known from here
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  return holder.started === null || holder.started === (await startOf(holder.pid));
}

async function startOf(pid: number): Promise<string | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null; // field 22; the name may hold spaces
  } catch {
    return null;
  }
}
