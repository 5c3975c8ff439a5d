import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { availableMemory } from "../../../src/config/available-memory.js";

let root: string;
beforeEach(() => void (root = mkdtempSync(join(tmpdir(), "sightloop-memory-"))));
afterEach(() => rmSync(root, { recursive: true }));
const put = (path: string, text: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};

test("is what the system says, where no group limits it", () => {
  put("proc/meminfo", "MemTotal:  9000 kB\nMemFree:  100 kB\nMemAvailable:    4000 kB\n");
  put("proc/self/cgroup", "0::/user/job\n");
  put("sys/fs/cgroup/user/job/memory.max", "max\n");
  put("sys/fs/cgroup/user/job/memory.current", "5000\n");
  expect(availableMemory(root)).toBe(4000 * 1024);
});

test("is what the tightest group above the process leaves; cache that can be dropped is free", () => {
  put("proc/meminfo", "MemAvailable:    4000 kB\n");
  put("proc/self/cgroup", "0::/user/job\n");
  put("sys/fs/cgroup/user/memory.max", "1000000\n");
  put("sys/fs/cgroup/user/memory.current", "800000\n");
  put("sys/fs/cgroup/user/memory.stat", "anon 1\ninactive_file 300000\n");
  put("sys/fs/cgroup/user/job/memory.max", "900000\n");
  put("sys/fs/cgroup/user/job/memory.current", "100000\n");
  expect(availableMemory(root)).toBe(500_000);
});

test("is this machine's own without a root: more than nothing", () => {
  expect(availableMemory()).toBeGreaterThan(2 ** 20);
});
