import { defineConfig } from "vitest/config";
import LongestFirst from "./test/longest-first.js";

const include = ["test/**/*.test.ts"];
const alone = [
  "test/native/native.test.ts",
  "test/invariant/{batch-invariant,bfloat16,engine,lora,skipped-updates}.test.ts",
  "test/parity/{lora,model}.test.ts",
];

export default defineConfig({
  test: {
    pool: "forks", // one process a file: the addon holds threads, and a crash must not take the others along
    testTimeout: 240_000,
    hookTimeout: 300_000,
    sequence: { sequencer: LongestFirst },
    projects: [
      // What computes on every core: one file at a time. (Two teams of OpenMP threads on the same cores wait for each other.)
      { extends: true, test: { name: "alone", include: alone, maxWorkers: 1, sequence: { groupOrder: 0 } } },
      // What computes on one thread, if at all, or in processes of one thread each.
      { extends: true, test: { name: "two", include, exclude: alone, maxWorkers: 2, sequence: { groupOrder: 1 } } },
    ],
    reporters: ["default", "./test/count-reporter.ts"],
  },
});
