/**
 * Bytes that each rank sends in a step, against the least that a ring needs.   node bench/traffic.mjs [--ranks 2] [--steps 3]
 * A random model of 57.7 M parameters in float32, one update a step, sharded and not. Every rank is a host: a network namespace
 * with a cable to a switch of their own; what went through a cable is what its interface counted, headers, heartbeats and
 * completions included. Needs root, iproute2 and a built checkout.
 */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { writeWideConfig } from "./wide-model.mjs";

const { values } = parseArgs({
  options: { ranks: { type: "string", default: "2" }, steps: { type: "string", default: "3" } },
});
const count = Number(values.ranks);
const cli = join(import.meta.dirname, "..", "dist", "cli", "main.js");
const place = mkdtempSync(join(tmpdir(), "sightloop-traffic-"));
const hub = `sl-switch-${process.pid}`;
const hosts = Array.from({ length: count }, (_, rank) => ({
  name: `sl-${rank}-${process.pid}`,
  ip: `10.77.32.${rank + 1}`,
}));
/** @param {string[]} args */
const ip = (...args) => execFileSync("ip", args, { encoding: "utf8" });

function connectHosts() {
  ip("netns", "add", hub);
  ip("-n", hub, "link", "add", "switch", "type", "bridge");
  ip("-n", hub, "link", "set", "switch", "up");
  for (const [rank, host] of hosts.entries()) {
    ip("netns", "add", host.name);
    ip("link", "add", "cable", "netns", host.name, "type", "veth", "peer", "name", `port${rank}`, "netns", hub);
    ip("-n", hub, "link", "set", `port${rank}`, "master", "switch", "up");
    ip("-n", host.name, "addr", "add", `${host.ip}/24`, "dev", "cable");
    for (const device of ["cable", "lo"]) ip("-n", host.name, "link", "set", device, "up");
  }
}
const removeHosts = () =>
  [hub, ...hosts.map(({ name }) => name)].forEach((name) => {
    try {
      ip("netns", "del", name);
    } catch {
      // it was never made
    }
  });

/** Bytes sent so far, by rank. @returns {number[]} */
const sent = () =>
  hosts.map(({ name }) => JSON.parse(ip("-n", name, "-s", "-j", "link", "show", "cable"))[0].stats64.tx.bytes);

/** What every rank sends in each step. @param {string} folder @param {string[]} options @returns {Promise<number[][]>} */
async function run(folder, ...options) {
  /** @type {number[][]} */
  const seen = [];
  const ended = hosts.map(({ name }, rank) => {
    const place_of_rank = { RANK: `${rank}`, WORLD_SIZE: `${count}`, MASTER_ADDR: hosts[0]?.ip, MASTER_PORT: "29500" };
    const args = ["train", join(place, "run.yaml"), "--run-folder", join(place, folder), "--json", ...options];
    const child = spawn("ip", ["netns", "exec", name, process.execPath, cli, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...place_of_rank },
    });
    createInterface({ input: child.stdout }).on("line", (line) => {
      const { type, phase } = JSON.parse(line);
      if (type === "step" || (type === "progress" && phase === "rollout" && seen.length === 0)) seen.push(sent());
    });
    return new Promise((resolve) => child.on("close", resolve));
  });
  const codes = await Promise.all(ended);
  if (codes.some((code) => code !== 0)) throw new Error(`ranks ended with ${codes.join(", ")}`);
  return seen.slice(1).map((bytes, i) => bytes.map((value, rank) => value - (seen[i]?.[rank] ?? 0)));
}

process.once("exit", () => {
  removeHosts();
  rmSync(place, { recursive: true });
});
connectHosts();
writeWideConfig(join(place, "config"));
const model = JSON.parse(
  execFileSync(
    process.execPath,
    [cli, "init", "--config", join(place, "config"), "--output", join(place, "model"), "--json"],
    {
      encoding: "utf8",
    },
  ),
);
writeFileSync(
  join(place, "run.yaml"),
  JSON.stringify({
    model: { path: join(place, "model"), train_vision_tower: true, train_connector: true },
    ...{ threads: 1, steps: Number(values.steps), prompts_per_step: count, completions_per_prompt: 2 },
    completions_per_update: 2 * count,
    datasets: { train: { name: "fashion_grid", count: 16 } },
    sampling: { max_completion_tokens: 8 },
    algorithm: { name: "grpo" },
    optimizer: { learning_rate: 1e-5 },
    rewards: [{ name: "length", max_tokens: 4 }],
    ...{ evaluate: { every_steps: 0, before_training: false }, checkpoint: { every_steps: 0, keep_last: 1 } },
  }),
);
const megabytes = (/** @type {number} */ bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const gradients = 4 * model.num_parameters;
const least = (2 * (count - 1) * gradients) / count;
console.log(
  `${count} ranks, gradients ${megabytes(gradients)}: the least is 2 (n - 1) / n of them, ${megabytes(least)}, ` +
    "sharded too (gradients scattered, weights gathered)",
);
for (const sharded of [true, false]) {
  const steps = await run(`sharded-${sharded}`, "--set", `shard_optimizer=${sharded}`);
  for (const [i, bytes] of steps.entries()) {
    const ratios = bytes.map((value) => (value / least).toFixed(3));
    console.log(
      `${sharded ? "sharded" : "whole"}, step ${i + 1}: sent by rank ${bytes.map(megabytes).join(", ")}; of the least ${ratios.join(", ")}`,
    );
  }
}
