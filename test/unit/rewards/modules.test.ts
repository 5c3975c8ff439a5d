import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Grader, openGrader, type RewardSpec } from "../../../src/rewards/grader.js";
import { WorkerPool } from "../../../src/rewards/pool/pool.js";
import type { RewardInput } from "../../../src/rewards/reward.js";

let folder = "";
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "sightloop-modules-"))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const opened: Grader[] = [];
afterEach(async () => {
  for (const grader of opened.splice(0)) await grader[Symbol.asyncDispose]();
});

const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const module = (file: string, more: object = {}): RewardSpec => ({
  module: file,
  weight: 1,
  on_error: "zero",
  params: {},
  ...more,
});
async function grader(specs: readonly RewardSpec[], options: { timeout_ms?: number; workers?: number } = {}) {
  const made = await openGrader(specs, { timeout_ms: 10_000, ...options });
  opened.push(made);
  return made;
}
const input = (completion: string): RewardInput => ({
  ...{ prompt: "How many?", completion, answer: "4", finish_reason: "stop", token_count: 3, max_completion_tokens: 8 },
  sample: { id: "row-7", question: "How many?", answer: "4", images: [] },
});

describe("a module", () => {
  test("in TypeScript: enums, other files, packages, types of ours, params checked by its own schema", async () => {
    write("helper.ts", "export enum Half { value = 0.5 }\n");
    const file = write(
      "typed.ts",
      `import { readFileSync } from "node:fs";
       import { defineReward, type RewardInput } from "sightloop/rewards";
       import { Half } from "./helper.js";
       const schema = { parse: (given: any) => { if (typeof given.limit !== "number") throw new Error("limit: a number"); return given as { limit: number }; } };
       const is_here: boolean = readFileSync(new URL(import.meta.url), "utf8").includes("defineReward");
       export default defineReward({
         params: schema,
         score: ({ completion, sample }: RewardInput, { limit }) => (is_here && sample.id === "row-7" && completion.length <= limit ? Half.value : 0),
       });`,
    );
    const { names, modules, grade } = await grader([module(file, { params: { limit: 4 }, weight: 3 })]);
    expect(names).toEqual(["typed"]);
    expect(modules[0]!.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(await grade(input("1234"))).toMatchObject({ reward: 1.5, breakdown: { typed: 0.5 } });
    expect((await grade(input("12345"))).reward).toBe(0);
    await expect(grader([module(file, { params: {} })])).rejects.toMatchObject({
      code: "REWARD_INVALID",
      message: expect.stringContaining("limit: a number") as string,
    });
  });

  test.each([
    ["plain.js", "export default ({ completion }) => completion.length;"],
    ["async.mjs", "export default async ({ completion }, { more }) => completion.length + more;"],
    [
      "common.cjs",
      "const { basename } = require('path'); module.exports = ({ completion }) => basename('/a/' + completion).length;",
    ],
  ])("in JavaScript: %s", async (name, text) => {
    const { grade } = await grader([module(write(name, text), { params: { more: 0 } })]);
    expect((await grade(input("abc"))).reward).toBe(3);
  });

  test("hears of an import that changes: the hash is that of all its files", async () => {
    const file = write("outer.ts", 'import { n } from "./inner.js";\nexport default () => n;\n');
    const hash = async (n: number) => {
      write("inner.ts", `export const n: number = ${n};\n`);
      return (await grader([module(file)])).modules[0]!.sha256;
    };
    expect(await hash(1)).not.toBe(await hash(2));
    expect(await hash(1)).toBe(await hash(1));
    const sha256 = await hash(1);
    await grader([module(file, { sha256 })]);
    write("inner.ts", "export const n: number = 2;\n");
    await expect(grader([module(file, { sha256 })])).rejects.toMatchObject({ code: "REWARD_INVALID" });
  });
});

describe("a module that cannot be used is refused before anything runs", () => {
  test.each([
    ["is missing", undefined, "FILE_NOT_FOUND", /cannot be read/],
    ["has no default export", "export const score = () => 1;", "REWARD_INVALID", /no default export/],
    ["exports something else", "export default 3;", "REWARD_INVALID", /neither a function/],
    [
      "has a syntax error",
      "export default () => {\n  return 1 +;\n};",
      "REWARD_INVALID",
      /bad\.ts:2:\d+: Unexpected ";"/,
    ],
    [
      "imports what is not there",
      'import x from "no-such-package";\nexport default x;',
      "REWARD_INVALID",
      /bad\.ts:1:\d+: Could not resolve "no-such-package"/,
    ],
    [
      "throws while loading",
      "\nconst a: any = null;\nexport default a.b;",
      "REWARD_INVALID",
      /TypeError: .* at \S*bad\.ts:3:\d+/,
    ],
    ["ends its worker", "process.exit(4);\nexport default () => 1;", "REWARD_INVALID", /exit code 4/],
    ["waits for ever", "await new Promise(() => {});\nexport default () => 1;", "REWARD_INVALID", /cannot be loaded/],
  ])("%s", async (_, text, code, message) => {
    const file = text === undefined ? join(folder, "missing.ts") : write("bad.ts", text);
    await expect(grader([module(file)])).rejects.toMatchObject({
      ...{ name: "UserError", code },
      message: expect.stringMatching(message) as string,
    });
  });
});

const wild = `export default ({ completion }: { completion: string }): any => {
  switch (completion) {
    case "loop": for (;;);
    case "regex": return /^(a+)+$/.test("a".repeat(40) + "!") ? 1 : 0;
    case "never": return new Promise(() => {});
    case "exit": process.exit(3);
    case "background": setTimeout(() => { throw new Error("later"); }, 1); return new Promise(() => {});
    case "throw":
      throw new TypeError("bad text");
    case "nan": return NaN;
    case "text": return "1";
    case "symbol": return Symbol("one");
    default: return completion.length;
  }
};`;

describe("whatever a module does, the others go on", () => {
  test.each([
    ["loop", "timeout", /took longer than 300 ms/],
    ["regex", "timeout", /took longer than 300 ms/],
    ["never", "timeout", /took longer than 300 ms/],
    ["exit", "error", /exit code 3/],
    ["background", "error", /Error: later/],
    ["throw", "error", /threw TypeError: bad text at \S*wild\.ts:9:\d+/],
    ["nan", "error", /returned NaN/],
    ["text", "error", /returned "1"/],
    ["symbol", "error", /returned Symbol\(one\)/],
  ])("%s", async (completion, status, message) => {
    const { grade } = await grader(
      [module(write("wild.ts", wild)), { name: "accuracy", weight: 1, on_error: "zero" }],
      {
        ...{ timeout_ms: 300, workers: 1 },
      },
    );
    const [bad, good] = await Promise.all([grade(input(completion)), grade(input("4"))]);
    expect(bad.outcomes["wild"]).toMatchObject({ status, message: expect.stringMatching(message) as string });
    expect(good).toMatchObject({ reward: 2, outcomes: { wild: { status: "ok" }, accuracy: { status: "ok" } } });
  });

  test("one that takes all memory ends its thread, not the process", async () => {
    const code =
      "export default ({ completion }) => { const all = []; while (completion) all.push(new Array(1e5)); return 3; };";
    const greedy = { kind: "module", name: "greedy", code, source_map: "{}", folder: "/", params: {} } as const;
    await using pool = new WorkerPool({
      ...{ rewards: [greedy], names: ["greedy"], size: 1 },
      load_timeout_ms: 60_000,
      max_heap_mb: 32,
    });
    const { signal } = new AbortController();
    expect(await pool.run(0, input("more"), 60_000, signal)).toMatchObject({
      status: "error",
      message: expect.stringContaining("ERR_WORKER_OUT_OF_MEMORY") as string,
    });
    expect(await pool.run(0, input(""), 60_000, signal)).toMatchObject({ status: "ok", value: 3 });
  });

  test("on_error: fail names reward, sample, file and line", async () => {
    const { grade } = await grader([module(write("wild.ts", wild), { on_error: "fail" })]);
    await expect(grade(input("throw"))).rejects.toMatchObject({
      code: "REWARD_FAILED",
      message: expect.stringMatching(
        /^reward "wild" threw TypeError: bad text at \S*wild\.ts:9:\d+ for sample "row-7"$/,
      ) as string,
    });
  });
});

test("results do not depend on the number of workers or the order of arrival", async () => {
  const file = write(
    "uneven.ts",
    "export default async ({ completion }: any) => { await new Promise((go) => setTimeout(go, (completion.length * 7) % 5)); return completion.length / 3; };",
  );
  const specs = [module(file), { name: "accuracy", weight: 1, on_error: "zero" } as const];
  const texts = Array.from({ length: 40 }, (_, i) => "x".repeat(i % 9) + (i % 3 === 0 ? " 4" : ""));
  const rewards = async (workers: number) => {
    const { grade } = await grader(specs, { workers });
    return (await Promise.all(texts.map((text) => grade(input(text))))).map(({ reward, breakdown }) => ({
      reward,
      breakdown,
    }));
  };
  const alone = await rewards(1);
  expect(await rewards(3)).toEqual(alone);
});

test("cancelling ends a busy worker at once", async () => {
  const { grade } = await grader([module(write("wild.ts", wild))], { timeout_ms: 60_000, workers: 1 });
  const controller = new AbortController();
  const looping = grade(input("loop"), controller.signal);
  const waiting = grade(input("abc"), controller.signal);
  setTimeout(() => controller.abort(new Error("Ctrl-C")), 50);
  const started = performance.now();
  await expect(looping).rejects.toThrow("Ctrl-C");
  await expect(waiting).rejects.toThrow("Ctrl-C");
  expect(performance.now() - started).toBeLessThan(5000);
  expect((await grade(input("abc"))).reward).toBe(3); // the worker was replaced
});

test("closing leaves no worker, and what a module prints goes to stderr; an unclosed grader does not keep a process", async () => {
  const file = write(
    "loud.ts",
    'export default ({ completion }: any) => { console.log("printed"); if (completion === "loop") for (;;); return 1; };',
  );
  const program = `
    const { openGrader } = await import(${JSON.stringify(pathToFileURL(resolve("dist/rewards/grader.js")).href)});
    const open = () => openGrader([{ module: ${JSON.stringify(file)}, weight: 1, on_error: "zero", params: {} }], { timeout_ms: 60000 });
    const input = (completion) => ({ ...${JSON.stringify(input(""))}, completion });
    const grader = await open();
    await grader.grade(input("a"));
    grader.grade(input("loop")).catch(() => undefined);
    await new Promise((go) => setTimeout(go, 100));
    await grader[Symbol.asyncDispose]();
    console.log(process.getActiveResourcesInfo().filter((name) => /Worker|MessagePort/.test(name)).length);
    const unclosed = await open();
    console.log((await unclosed.grade(input("a"))).reward);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program]);
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (text) => (stdout += String(text)));
  child.stderr.on("data", (text) => (stderr += String(text)));
  const code = await new Promise((done) => child.on("close", done));
  expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: "0\n1\n" });
  expect(stderr).toContain("printed");
}, 60_000);
