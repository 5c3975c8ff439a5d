import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { evaluation_metrics } from "../../../src/reports/evaluation-metrics.js";
import { metrics, reward_parts } from "../../../src/reports/metrics.js";
import { metricsPage } from "../../../src/reports/metrics-page.js";

test("docs/metrics.md is what `npm run docs:metrics` writes", () => {
  expect(readFileSync("docs/metrics.md", "utf8")).toBe(metricsPage());
});

test("every metric stands on the page, and every row has its four cells", () => {
  const rows = metricsPage()
    .split("\n")
    .filter((line) => line.startsWith("| `"));
  const names = rows.map((row) => /^\| `([^`]+)`/.exec(row)![1]!);
  expect(names).toEqual(expect.arrayContaining([...metrics.keys(), "reward.<name>", "reward_ok.<name>", "pass_at"]));
  expect(names).toHaveLength(metrics.size + Object.keys(reward_parts).length + Object.keys(evaluation_metrics).length);
  for (const row of rows) expect(row.replaceAll("\\|", "").split("|"), row).toHaveLength(6);
});
