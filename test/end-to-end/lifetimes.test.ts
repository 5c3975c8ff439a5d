/** Engines that come and go, in worker threads too, and rollouts that never stop: nothing crashes, nothing piles up. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { smallConfig, smallRun, trainHere, workspace } from "./support.js";

const place = workspace();

async function run<T>(what: string, times: number): Promise<T> {
  const child = spawn(process.execPath, ["test/helpers/lifetimes.mjs", what, place.model, String(times)]);
  const closed = once(child, "close") as Promise<[number | null, string | null]>;
  const [out, said, [code, signal]] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
  expect({ code, signal, said }).toEqual({ code: 0, signal: null, said: "" });
  return JSON.parse(out) as T;
}

interface Use {
  readonly rss_mib: number;
  readonly files: number;
  readonly threads: number;
}

test("500 times opened and closed: no growth in memory, open files or threads", { timeout: 600_000 }, async () => {
  const { warm, end } = await run<{ warm: Use; end: Use }>("cycles", 500);
  expect(end.files).toBeLessThanOrEqual(warm.files);
  expect(end.threads).toBeLessThanOrEqual(warm.threads + 1);
  expect(end.rss_mib - warm.rss_mib).toBeLessThan(60); // 450 engines of 3.4 MB of weights alone would take 1,500
});

test("workers that are ended while their engine samples leave the others unharmed", { timeout: 300_000 }, async () => {
  expect(await run("workers", 12)).toEqual({ same: 12 });
});

test("completions that never stop are cut off at their limit, and the memory they took is given back", async () => {
  const { seen } = await run<{ seen: ({ cut_off: number; lengths: number[]; kv_cache_bytes: number } & Use)[] }>(
    "endless",
    6,
  );
  for (const { cut_off, lengths, kv_cache_bytes } of seen) {
    expect(cut_off).toBe(24);
    expect(new Set(lengths)).toEqual(new Set([60]));
    expect(kv_cache_bytes).toBe(0);
  }
  expect(seen.at(-1)!.rss_mib - seen[2]!.rss_mib).toBeLessThan(40);
});

test("a training whose answers never stop counts them as cut off", async () => {
  const config = smallConfig(place.model, null, {
    ...{ steps: 2, evaluate: {}, datasets: { train: smallRun.datasets.train }, sampling: { max_completion_tokens: 3 } },
  });
  const { events, error } = await trainHere(config);
  expect(error).toBeUndefined();
  for (const event of events) {
    if (event.type !== "step") continue;
    expect(event.metrics["truncated"]).toBeGreaterThan(0.8); // a random model ends one in some hundred by itself
    expect(event.metrics["completion_length_mean"]).toBeLessThanOrEqual(3);
  }
});
