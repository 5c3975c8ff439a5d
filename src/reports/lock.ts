import { randomUUID } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../errors.js";
import { namesIn } from "./files.js";

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Ticks since boot at which the process started (Linux): tells a reused pid from the holder. */
  readonly started: string | null;
}

/** Folders that this thread holds or is about to take; a pid alone cannot tell two runs of one process apart. */
const held = new Set<string>();

const claim_prefix = "lock.claim.";
/** Tries of a process that meets others on the way to the same folder; the waits between them grow to a second. */
const num_tries = 40;
const wait_ms = (attempt: number): number => Math.random() * Math.min(1000, 10 * 1.2 ** attempt);

/**
 * Takes the folder for this process until the returned function is called. The lock of a process that has died is
 * taken over.
 *
 * The lock is set under a claim: a process creates a file of its own, whose name says who it is, then looks for claims
 * of others, and goes on only if it is alone. Of two processes at least the later one sees the other's, so no two are
 * ever past that point together, and a lock that has just been set is never mistaken for the dead one before it.
 * @throws UserError RUN_FOLDER_IN_USE
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(resolve(folder), "lock");
  if (held.has(path)) throw inUse(folder, process.pid);
  held.add(path);
  try {
    await take(folder, path);
  } catch (error) {
    held.delete(path);
    throw error;
  }
  return async () => {
    await rm(path, { force: true });
    held.delete(path);
  };
}

/** Whether a name in a run folder belongs to its lock. */
export const isLockFile = (name: string): boolean => name === "lock" || name.startsWith(claim_prefix);

async function take(folder: string, path: string): Promise<void> {
  const self: Holder = { pid: process.pid, host: hostname(), started: await startOf(process.pid) };
  const claim = join(resolve(folder), claimName(self));
  try {
    for (let attempt = 0; attempt < num_tries; attempt++) {
      await refuseIfHeld(folder, path);
      await writeFile(claim, "");
      if (await isAlone(resolve(folder), claim)) {
        await refuseIfHeld(folder, path); // whoever was here before may have taken it
        await writeFile(claim, JSON.stringify(self));
        await rename(claim, path);
        return;
      }
      await rm(claim, { force: true });
      await sleep(wait_ms(attempt));
    }
    throw inUse(folder, undefined);
  } finally {
    await rm(claim, { force: true });
  }
}

async function refuseIfHeld(folder: string, path: string): Promise<void> {
  const holder = await readHolder(path);
  if (holder !== undefined && (await isAlive(holder))) throw inUse(folder, holder.pid);
}

/** Whether no other living process has a claim. Claims of the dead are swept away. */
async function isAlone(folder: string, own: string): Promise<boolean> {
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    const holder = claimant(name);
    if (holder === undefined || path === own) continue;
    if (await isAlive(holder)) return false;
    await rm(path, { force: true });
  }
  return true;
}

/** The host comes last: it may hold dots. */
const claimName = ({ pid, started, host }: Holder): string =>
  `${claim_prefix}${randomUUID()}.${pid}.${started ?? ""}.${host}`;

function claimant(name: string): Holder | undefined {
  if (!name.startsWith(claim_prefix)) return undefined;
  const [_, pid, started, ...host] = name.slice(claim_prefix.length).split(".");
  return { pid: Number(pid), started: started === "" ? null : started!, host: host.join(".") };
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
    return undefined; // there is none, or it is damaged
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

/** Whether a living process holds the folder, as far as can be known from here. */
export async function isHeld(folder: string): Promise<boolean> {
  const holder = await readHolder(join(folder, "lock"));
  return holder !== undefined && (await isAlive(holder));
}
