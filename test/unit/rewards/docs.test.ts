import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { resolveRewardPaths, type RewardsConfig, rewardsSchema } from "../../../src/config/rewards.js";
import { openGrader, type RewardSpec } from "../../../src/rewards/grader.js";
import { rewardSchema } from "../../../src/rewards/registry.js";
import type { RewardInput } from "../../../src/rewards/reward.js";

/** docs/rewards.md: what it shows must work. */
const text = readFileSync("docs/rewards.md", "utf8");
const blocks = (language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(([, code]) => code!);
const configs = blocks("yaml").map((code) => rewardsSchema.parse((parse(code) as { rewards: unknown }).rewards));
const having = (test: (reward: RewardsConfig[number]) => boolean): RewardsConfig =>
  configs.find((config) => config.some(test))!;

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sightloop-docs-"));
  for (const code of [...blocks("ts"), ...blocks("js")])
    writeFileSync(join(folder, /^\/\/ (\S+)\n/.exec(code)![1]!), code);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const input = (completion: string): RewardInput => ({
  ...{
    prompt: "How many?",
    completion,
    answer: "4",
    finish_reason: "stop",
    token_count: 3,
    max_completion_tokens: 1024,
  },
  sample: { id: "row-7", question: "How many?", answer: "4", images: [] },
});
async function grade(rewards: RewardsConfig, completion: string) {
  const grader = await openGrader(resolveRewardPaths(rewards, () => folder) as RewardSpec[], { timeout_ms: 10_000 });
  try {
    return await grader.grade(input(completion));
  } finally {
    await grader[Symbol.asyncDispose]();
  }
}

describe("docs/rewards.md", () => {
  test("has every built-in reward, and every key of those that ask a server", () => {
    expect(configs).toHaveLength(4);
    for (const { shape } of rewardSchema.options) {
      expect(text).toContain(`| \`${shape.name.value}\` |`);
      for (const key of Object.keys(shape)) expect(text).toMatch(new RegExp(`\\b${key}\\b`));
    }
  });

  test("the first example", async () => {
    expect((await grade(configs[0]!, "<think>2 + 2</think> 4")).reward).toBe(1.5);
  });

  test("the module", async () => {
    const rewards = having((reward) => "module" in reward);
    expect((await grade(rewards, "4")).reward).toBeCloseTo(1.05, 12);
    expect((await grade(rewards, "x".repeat(300))).breakdown["brief"]).toBe(0);
  });

  test("the server", async () => {
    const probe = createServer().listen(0, "127.0.0.1");
    await new Promise((done) => probe.once("listening", done));
    const { port } = probe.address() as AddressInfo;
    await new Promise((done) => probe.close(done));
    const child = spawn(process.execPath, [join(folder, "server.mjs")], {
      env: { ...process.env, PORT: String(port) },
    });
    try {
      const rewards = having((reward) => "name" in reward && reward.name === "remote").map((reward) => ({
        ...reward,
        url: `http://127.0.0.1:${port}/grade`,
      })) as RewardsConfig;
      await sleep(100);
      expect((await grade(rewards, "it is 4")).reward).toBe(1);
      expect((await grade(rewards, "it is 5")).reward).toBe(0);
    } finally {
      child.kill();
    }
  });
});
