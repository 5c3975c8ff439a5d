/**
 * Runs the C++ tests (doctest), every test case as a test of its own. A case that makes no assertion fails: a test that
 * checks nothing looks like one that passes.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { text as readAll } from "node:stream/consumers";
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

/** The executable's output. Asynchronous, so that vitest hears from this process meanwhile. */
async function doctest(args: readonly string[]): Promise<{ stdout: string; stderr: string; status: number | string }> {
  if (!existsSync(nativeTestsFile)) throw new Error(`${nativeTestsFile} is not built. Run: npm run build:native-tests`);
  const child = spawn(nativeTestsFile, ["--reporters=xml", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "close") as Promise<[number | null, string | null]>;
  const [stdout, stderr, [code, signal]] = await Promise.all([readAll(child.stdout), readAll(child.stderr), ended]);
  return { stdout, stderr, status: code ?? signal ?? "unknown" };
}

function caseOf(attributes: string): Case {
  const name = text(attributes, "name");
  return { key: `${text(attributes, "line")} ${name}`, name, skipped: text(attributes, "skipped") === "true" };
}

async function listCases(): Promise<Case[]> {
  const { stdout } = await doctest(["--list-test-cases", "--no-skip"]);
  return [...stdout.matchAll(/<TestCase((?: \w+="[^"]*")+)\/>/g)].map(([, attributes = ""]) => caseOf(attributes));
}

async function runCases() {
  const { stdout, stderr, status } = await doctest([]);
  const results = new Map<string, Result>();
  for (const [report, attributes = ""] of stdout.matchAll(/<TestCase((?: \w+="[^"]*")+)>.*?<\/TestCase>/gs)) {
    const totals = /<OverallResultsAsserts( [^>]*)\/>/.exec(report)?.[1] ?? "";
    const assertions = Number(text(totals, "successes")) + Number(text(totals, "failures"));
    results.set(caseOf(attributes).key, { assertions, passed: text(totals, "test_case_success") === "true", report });
  }
  return { status, results, stderr };
}

const cases = await listCases();

describe("native", () => {
  let outcome: Awaited<ReturnType<typeof runCases>>;
  beforeAll(async () => {
    outcome = await runCases();
  });

  for (const { key, name, skipped } of cases)
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
