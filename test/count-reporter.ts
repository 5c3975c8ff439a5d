import type { Reporter, TestModule } from "vitest/node";

/**
 * Prints the run's last line, `N passed, N failed` (`, N skipped` follows when there are any), and fails a run in which no
 * test ran. A file that could not be loaded, and an error outside any test, count as failures.
 */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      count.failed += module.errors().length;
      for (const test of module.children.allTests()) count[test.result().state] += 1;
    }
    const skipped = count.skipped + count.pending;
    const line = `${count.passed} passed, ${count.failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
    // At exit, so that it follows the other reporters' summaries.
    process.on("exit", () => {
      if (count.passed + count.failed === 0) process.exitCode ||= 1;
      process.stdout.write(`${line}\n`);
    });
  }
}
