import { readFileSync } from "node:fs";
import { freemem } from "node:os";
import { join } from "node:path";

/** Bytes that this process may still take: what the system can free, or what its control group leaves. */
export function availableMemory(root = "/"): number {
  const free = ofSystem(root) ?? freemem();
  return Math.min(free, ...ofControlGroups(root));
}

function ofSystem(root: string): number | undefined {
  const kibibytes = /^MemAvailable:\s+(\d+) kB$/m.exec(read(join(root, "proc/meminfo")) ?? "")?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}

/** Limit less use, of this process's group and every one above it. File cache that can be dropped is not use. */
function ofControlGroups(root: string): readonly number[] {
  const line = /^0::(\/.*)$/m.exec(read(join(root, "proc/self/cgroup")) ?? "")?.[1];
  if (line === undefined) return [];
  const names = line.split("/").filter((name) => name !== "");
  return Array.from({ length: names.length + 1 }, (_, depth) => {
    const folder = join(root, "sys/fs/cgroup", ...names.slice(0, depth));
    const limit = Number(read(join(folder, "memory.max")) ?? "max"); // "max": no limit, NaN
    const used = Number(read(join(folder, "memory.current")) ?? NaN);
    const droppable = Number(/^inactive_file (\d+)$/m.exec(read(join(folder, "memory.stat")) ?? "")?.[1] ?? 0);
    return limit - used + droppable;
  }).filter((bytes) => !Number.isNaN(bytes));
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trimEnd();
  } catch {
    return undefined;
  }
}
