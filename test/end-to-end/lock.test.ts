/** The run folder's lock between real processes: whatever happens, at most one holds it. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const num_processes = 10;
const num_rounds = 20;

/** Obeys a line at a time: `take`, `release`, `die` (as by kill -9); answers each of the first two by a line. */
const contender = `
  import { createInterface } from "node:readline";
  import { lockFolder } from ${JSON.stringify(pathToFileURL(resolve("dist/reports/lock.js")).href)};
  let unlock;
  const orders = {
    take: () => lockFolder(process.argv[1]).then((f) => { unlock = f; return "took"; }, (error) => error.code),
    release: async () => { await unlock?.(); unlock = undefined; return "released"; },
    die: () => process.kill(process.pid, "SIGKILL"),
  };
  for await (const line of createInterface({ input: process.stdin })) console.log(await orders[line]());
`;

interface Contender {
  readonly child: ChildProcessWithoutNullStreams;
  order(word: "take" | "release"): Promise<string>;
}

let folder: string;
let contenders: Contender[];

function contend(): Contender {
  const child = spawn(process.execPath, ["--input-type=module", "-e", contender, folder]);
  child.stderr.pipe(process.stderr);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    order: async (word) => {
      child.stdin.write(`${word}\n`);
      return String((await lines.next()).value);
    },
  };
}

const all = (word: "take" | "release"): Promise<string[]> => Promise.all(contenders.map((each) => each.order(word)));
const dead = JSON.stringify({ pid: 2 ** 22 + 1, host: hostname(), started: null });

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sightloop-lock-"));
  contenders = Array.from({ length: num_processes }, contend);
});
afterAll(() => {
  for (const { child } of contenders) child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

test.each([
  ["a dead process's lock", () => writeFileSync(join(folder, "lock"), dead)],
  ["no lock", () => rmSync(join(folder, "lock"), { force: true })],
])("%s: of many processes at the same moment one takes it, the others are told so", async (_, prepare) => {
  for (let round = 0; round < num_rounds; round++) {
    prepare();
    const answers = await all("take");
    expect(answers.filter((answer) => answer === "took")).toHaveLength(1);
    expect(answers.filter((answer) => answer === "RUN_FOLDER_IN_USE")).toHaveLength(num_processes - 1);
    await all("release");
    expect(readdirSync(folder)).toEqual([]);
  }
});

test("a holder that is killed leaves a lock that one other takes over", async () => {
  const [first, ...others] = contenders;
  expect(await first!.order("take")).toBe("took");
  const ended = once(first!.child, "exit");
  first!.child.stdin.write("die\n");
  await ended;
  contenders = others;
  const answers = await all("take");
  expect(answers.filter((answer) => answer === "took")).toHaveLength(1);
  await all("release");
  expect(readdirSync(folder)).toEqual([]);
});
