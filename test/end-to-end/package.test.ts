import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { workspace } from "./support.js";

const run = promisify(execFile);
const place = workspace();
const project = mkdtempSync(join(tmpdir(), "sightloop-package-"));
afterAll(() => rmSync(project, { recursive: true, force: true }));

/** As a user: pack, install into an empty project. Only the native build is replaced by the one that is there. */
beforeAll(async () => {
  await run("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", project]);
  const tarball = readdirSync(project).find((name) => name.endsWith(".tgz"))!;
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "project", private: true }));
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--silent"];
  await run("npm", ["install", ...flags, join(project, tarball)], { cwd: project });
  const release = join(project, "node_modules", "sightloop", "build", "Release");
  mkdirSync(release, { recursive: true });
  cpSync("build/Release/sightloop.node", join(release, "sightloop.node"));
});

/** Two steps with a dataset and a reward of the program's own; then nothing but the end of the script. */
const program = (load: string): string => `
${load}
async function main() {
  const bytes = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==", "base64");
  async function* dataset() {
    for (let i = 0; ; i++) yield { id: "own-" + i, question: "total?", answer: "5", images: [{ bytes }] };
  }
  const short = ({ token_count, completion, prompt, sample }) => {
    if (!prompt.includes("total?") || typeof completion !== "string" || !sample.id.startsWith("own-")) throw new Error("input");
    return -token_count;
  };
  const run = train({
    model: "MODEL",
    dataset: dataset(),
    rewards: [short, "accuracy"],
    steps: 2, prompts_per_step: 2, completions_per_prompt: 4, completions_per_update: 8, threads: 1,
    sampling: { max_completion_tokens: 6 },
    algorithm: { name: "grpo" },
    optimizer: { learning_rate: 1e-3 },
  });
  const seen = [];
  for await (const event of run) if (event.type === "step") seen.push(Object.keys(event.metrics).filter((name) => name.startsWith("reward.")));
  try {
    train({ model: "m", dataset: [], rewards: [], steps: 1, prompts_per_stp: 1 });
  } catch (error) {
    if (!(error instanceof UserError) || error.code !== "CONFIG_INVALID") throw error;
    console.log(JSON.stringify(seen));
  }
}
main();
`;

test.each([
  ["ESM", "own.mjs", 'import { train, UserError } from "sightloop";'],
  ["CommonJS", "own.cjs", 'const { train, UserError } = require("sightloop");'],
])("two steps with an own dataset and reward from %s; the process ends by itself", async (_, file, load) => {
  writeFileSync(join(project, file), program(load).replace("MODEL", place.model));
  const { stdout } = await run(process.execPath, [file], { cwd: project, timeout: 100_000 });
  const rewards = ["reward.short", "reward.accuracy"];
  expect(JSON.parse(stdout.trim().split("\n").at(-1)!)).toEqual([rewards, rewards]);
});

test("the types are enough to compile a strict program", async () => {
  writeFileSync(
    join(project, "own.ts"),
    `import { openEngine, train, UserError, type Engine, type Sample, type TrainEvent, type TrajectoryBatch } from "sightloop";
const samples: Sample[] = [{ id: "a", question: "q", answer: "1", images: [] }];
export async function run(signal: AbortSignal): Promise<number | undefined> {
  let loss: number | undefined;
  for await (const event of train({
    model: "m", dataset: samples, rewards: [({ completion }) => completion.length, "accuracy", { name: "accuracy", weight: 2 }],
    steps: 1, prompts_per_step: 1, completions_per_prompt: 2, completions_per_update: 2,
    algorithm: { name: "grpo" }, optimizer: { learning_rate: 1e-5 }, signal,
  })) if (event.type === "step") loss = event.metrics["loss"];
  return loss;
}
export const learn = (engine: Engine, batch: TrajectoryBatch) => engine.update(batch);
export const open: typeof openEngine = openEngine;
export const isDone = (event: TrainEvent) => event.type === "done";
export const hint = (error: UserError): string => error.hint;
// @ts-expect-error a misspelt key does not compile
train({ model: "m", dataset: samples, rewards: [], prompts_per_stp: 1 });
`,
  );
  const libraries = "ES2023,ESNext.Disposable,DOM";
  const options = ["--strict", "--noEmit", "--module", "NodeNext", "--target", "ES2023", "--lib", libraries];
  const tsc = join(process.cwd(), "node_modules", "typescript", "bin", "tsc");
  const { stdout } = await run(process.execPath, [tsc, ...options, "--skipLibCheck", "own.ts"], { cwd: project }).catch(
    (error: { stdout: string }) => error,
  );
  expect(stdout).toBe("");
});

test("the installed command line knows its presets", async () => {
  const { stdout } = await run(process.execPath, [
    ...[join(project, "node_modules", "sightloop", "dist", "cli", "main.js"), "init", "--preset", "fashion_grid_tiny"],
    ...["--output", join(project, "model"), "--json"],
  ]);
  expect(JSON.parse(stdout)).toMatchObject({ seed: 0 });
});
