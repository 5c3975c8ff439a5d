import type { TestSpecification } from "vitest/node";
import { BaseSequencer } from "vitest/node";

/** Of the files that take longest, the longest first: one that starts last would keep one core while the other is idle. */
const longest = [
  "ranks",
  "ranks-lost",
  "memory-plan",
  "study",
  "killed",
  "cli",
  "two-hosts",
  "presets",
  "lora",
  "terminal",
  "train",
  "rewards",
  "bench",
  "lifetimes",
  "package",
  "data",
  "health",
  "disk-full",
  "bad-input",
].map((name) => `/test/end-to-end/${name}.test.ts`);

/** What vitest remembers of earlier runs is not there in a fresh clone. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const found = longest.findIndex((end) => moduleId.endsWith(end));
      return found < 0 ? longest.length : found;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}
