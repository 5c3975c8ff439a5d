/**
 * Runs the C++ tests (doctest), every test case as a test of its own. A case that makes no assertion fails: a test that
 * checks nothing looks like one that passes.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { nativeTestsFile } from "../../cmake/paths.mjs";

interface Case {
  readonly key: string;
  readonly name: string;
  readonly skipped: boolean;
}

interface Result {
  readonly assertions: number;
  readonly passed: boolean;
  readonly report: string;
}

const text = (attributes: string, name: string) =>
  (new RegExp(` ${name}="([^"]*)"`).exec(attributes)?.[1] ?? "")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&");

function doctest(args: readonly string[]) {
  if (!existsSync(nativeTestsFile))
    throw new Error(`${nativeTestsFile} is not built. Run: npm run build:native-tests`);
  return spawnSync(nativeTestsFile, ["--reporters=xml", ...args], { encoding: "utf8", maxBuffer: 2 ** 28 });
}

function caseOf(attributes: string): Case {
  const name = text(attributes, "name");
  return { key: `${text(attributes, "line")} ${name}`, name, skipped: text(attributes, "skipped") === "true" };
}

function listCases(): Case[] {
  const { stdout } = doctest(["--list-test-cases"]);
  return [...stdout.matchAll(/<TestCase( [^>]*?)\/>/g)].map(([, attributes = ""]) => caseOf(attributes));
}

function runCases(): { status: number | null; results: Map<string, Result>; stderr: string } {
  const { stdout, stderr, status } = doctest([]);
  const results = new Map<string, Result>();
  for (const [report, attributes = ""] of stdout.matchAll(/<TestCase( [^>]*[^/])>.*?<\/TestCase>/gs)) {
    const totals = /<OverallResultsAsserts( [^>]*)\/>/.exec(report)?.[1] ?? "";
    const assertions = Number(text(totals, "successes")) + Number(text(totals, "failures"));
    results.set(caseOf(attributes).key, { assertions, passed: text(totals, "test_case_success") === "true", report });
  }
  return { status, results, stderr };
}

describe("native", () => {
  let outcome: ReturnType<typeof runCases>;
  beforeAll(() => {
    outcome = runCases();
  });

  for (const { key, name, skipped } of listCases())
    test.skipIf(skipped)(name, () => {
      const result = outcome.results.get(key);
      expect(result, `the executable stopped before this case (${outcome.status})\n${outcome.stderr}`).toBeDefined();
      expect(result?.passed, result?.report).toBe(true);
      expect(result?.assertions, "assertions made").toBeGreaterThan(0);
    });

  test("every C++ test passed", () => {
    expect(outcome.status, outcome.stderr).toBe(0);
    expect(outcome.results.size, "C++ test cases run").toBeGreaterThan(0);
  });
});
