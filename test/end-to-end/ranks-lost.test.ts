import { readFileSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { readMetrics } from "../../src/reports/metrics-file.js";
import { node, ranksWorkspace } from "./ranks-support.js";
import { hashes } from "./support.js";

/** Ranks that are lost, interrupted or do not fit. */
const { place, start, startRank, train } = ranksWorkspace();

/** Rank 1 of a run of two, by what Linux says of its environment. */
async function pidOfRank(rank: number, folder: string): Promise<number> {
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const environment = readFileSync(`/proc/${name}/environ`, "utf8");
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8");
      if (environment.includes(`\0RANK=${rank}\0`) && command.includes(place.path(folder))) return Number(name);
    } catch {
      // gone meanwhile
    }
  }
  throw new Error(`no process of rank ${rank}`);
}

describe("a rank that is lost", () => {
  const many = ["--nproc", "2", "--set", "steps=400"];

  test("ends the run at once, by name, and leaves the last checkpoint whole", async () => {
    const run = start("killed", ...many);
    await run.line(/saved .*step-000002/);
    process.kill(await pidOfRank(1, "killed"), "SIGKILL");
    const killed = performance.now();
    const { code, stderr } = await run.done;
    expect(code, stderr).toBe(3);
    expect(stderr).toMatch(/error: rank 1 on 127\.0\.0\.1 is gone: .*phase of step \d+/);
    expect(performance.now() - killed).toBeLessThan(30_000);
    expect(await train("killed", "--resume", "--set", "steps=4")).toMatchObject({ code: 0 });
  });

  test("one that computes for long, its main thread too, is not", async () => {
    const ranks = [0, 4000].map((busy_ms, rank) => node("test/helpers/busy-rank.mjs", { rank, port: 29715, busy_ms }));
    expect(await Promise.all(ranks)).toEqual([0, 0]);
  });

  test("nor is one whose reward takes longer than the liveness timeout, while the other waits for it", async () => {
    const reward = place.path("slow.mjs");
    await writeFile(
      reward,
      `let slept = process.env.RANK !== "1";
      export default async ({ token_count }) => {
        if (!slept) await new Promise((resolve) => setTimeout(resolve, 5000));
        slept = true;
        return -token_count;
      };`,
    );
    const slow = ["--set", `rewards=${JSON.stringify([{ module: reward }])}`, "--liveness-timeout", "2"];
    expect(await train("slow", "--nproc", "2", "--set", "steps=2", ...slow)).toMatchObject({ code: 0 });
    const [first] = await readMetrics(place.path("slow/metrics.jsonl"));
    expect(first!["step_seconds"]).toBeGreaterThan(5);
    expect(first!["ranks_idle_share"]).toBeGreaterThan(0.3); // a rank of two waited for most of it
  });

  test("--max-restarts goes on by itself, to the same end bit for bit", async () => {
    const ten = ["--nproc", "2", "--set", "steps=10"];
    const run = start("restarted", ...ten, "--max-restarts", "1");
    await run.line(/step 3\/10/);
    process.kill(await pidOfRank(0, "restarted"), "SIGKILL");
    expect(await run.done).toMatchObject({ code: 0 });
    expect(await train("straight", ...ten)).toMatchObject({ code: 0 });
    const ignored = /manifest|metrics|config\.yaml/;
    expect(hashes(place.path("restarted"), ignored)).toEqual(hashes(place.path("straight"), ignored));
  });

  test("an interrupt of one rank stops all after the same step, with a checkpoint", async () => {
    const run = start("interrupted", ...many);
    await run.line(/step 2\/400/);
    process.kill(await pidOfRank(1, "interrupted"), "SIGINT");
    const { code, stderr } = await run.done;
    expect(code).toBe(130);
    const [, step] = /error: interrupted after step (\d+) of 400/.exec(stderr)!;
    const name = `step-${step!.padStart(6, "0")}`;
    expect(readFileSync(place.path("interrupted/checkpoints/latest"), "utf8").trim()).toBe(name);
  });
});

test("an interrupt of one rank stops all that sample between two tokens, not after the step", async () => {
  const long = ["completions_per_prompt=4096", "completions_per_update=16384", "sampling.max_completion_tokens=64"];
  const options = ["--nproc", "2", "--json", ...long.flatMap((value) => ["--set", value])];
  const run = start("long", ...options);
  await run.line(/"phase":"rollout"/);
  process.kill(await pidOfRank(1, "long"), "SIGINT");
  const interrupted = performance.now();
  const { code, stderr } = await run.done;
  expect(code, stderr).toBe(130);
  expect(stderr).toMatch(/error: interrupted after step 0 of 10/);
  expect(performance.now() - interrupted).toBeLessThan(20_000); // the step takes minutes
});

describe("ranks that do not fit", () => {
  const quick = ["--rendezvous-timeout", "10"];
  test.each([
    ["another config", 29721, ["--set", "seed=3"], 2, /rank 1 has another value of seed than rank 0: 3, not 0/],
    ["another number of ranks", 29722, [], 3, /rank \d was started with WORLD_SIZE \d, rank \d with \d/],
  ] as const)("%s: refused on both", async (_, port, options, world_size, message) => {
    const ranks = [startRank(0, 2, port, ...quick), startRank(1, world_size, port, ...quick, ...options)];
    for (const { code, stderr } of await Promise.all(ranks.map(({ done }) => done))) {
      expect(code).toBe(2);
      expect(stderr).toMatch(message);
    }
  });

  test("one that is missing is named; so is a rank 0 that nobody finds, and a rank twice", async () => {
    const soon = ["--rendezvous-timeout", "3"];
    const outcomes = await Promise.all([
      startRank(0, 2, 29723, ...soon).done,
      startRank(1, 2, 29724, ...soon).done,
      ...[startRank(0, 3, 29725, ...quick).done, startRank(1, 3, 29725, ...quick).done],
      startRank(1, 3, 29725, ...quick).done,
    ]);
    for (const { code, stderr } of outcomes) expect(code, stderr).toBe(2);
    expect(outcomes[0].stderr).toMatch(/of 2 ranks these did not arrive within 3 s: 1\./);
    expect(outcomes[1].stderr).toMatch(/rank 1 found nothing at 127\.0\.0\.1:29724 within 3 s/);
    // Whoever comes late finds the others gone.
    for (const { stderr } of outcomes.slice(2))
      expect(stderr).toMatch(/rank 1 was started twice|rank 0 went away|found nothing/);
    expect(outcomes[2].stderr).toMatch(/rank 1 was started twice/);
  });

  test("fewer prompts than ranks, and places that are none", async () => {
    const one = ["--set", "prompts_per_step=1", "--set", "completions_per_update=4"];
    expect(await train("few", "--nproc", "2", ...one)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/prompts_per_step is 1, with 2 ranks some would have no prompt/) as string,
    });
    expect(await train("none", "--nproc", "0")).toMatchObject({ code: 2 });
    expect(await train("none", "--nproc", "1", "--nodes", "2")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/--nodes needs --master/) as string,
    });
    expect(await startRank(2, 2, 29726).done).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/RANK is 2, but the 2 ranks of WORLD_SIZE count from 0/) as string,
    });
  });
});
