import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks", // one process a file: the addon holds threads, and a crash must not take the others along
    fileParallelism: false, // the addon uses every core
    testTimeout: 120_000,
    hookTimeout: 300_000,
    reporters: ["default", "./test/count-reporter.ts"],
  },
});
