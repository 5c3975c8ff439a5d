import { defineConfig } from "vitest/config";

const include = ["test/**/*.test.ts"];
const alone = [
  "test/{boundary,invariant,native,parity}/**/*.test.ts",
  "test/end-to-end/{bench,demo,engine,memory-plan,package,ranks,terminal,two-hosts}.test.ts",
];

export default defineConfig({
  test: {
    pool: "forks", // one process a file: the addon holds threads, and a crash must not take the others along
    testTimeout: 240_000,
    hookTimeout: 300_000,
    projects: [
      // What uses every core, or has a machine's memory or ports to itself: one file at a time.
      { extends: true, test: { name: "alone", include: alone, maxWorkers: 1, sequence: { groupOrder: 0 } } },
      // What computes on one thread, if at all.
      { extends: true, test: { name: "two", include, exclude: alone, maxWorkers: 2, sequence: { groupOrder: 1 } } },
    ],
    reporters: ["default", "./test/count-reporter.ts"],
  },
});
