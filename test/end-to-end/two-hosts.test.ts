import { execFileSync } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { hashes, program, type Running, sightloop, smallRun, startProgram, workspace, writeRows } from "./support.js";

/** Two hosts: network namespaces with an address each and a cable between them. Needs root and iproute2. */
const hosts = [`sl-a-${process.pid}`, `sl-b-${process.pid}`] as const;
const addresses = ["10.77.31.1", "10.77.31.2"] as const;
const ip = (...args: readonly string[]): void => void execFileSync("ip", args, { stdio: "pipe" });
const cut = (state: "up" | "down"): void => ip("-n", hosts[0], "link", "set", "veth0", state);

function connectHosts(): boolean {
  try {
    for (const host of hosts) ip("netns", "add", host);
    ip("link", "add", "veth0", "netns", hosts[0], "type", "veth", "peer", "name", "veth1", "netns", hosts[1]);
    hosts.forEach((host, i) => {
      ip("-n", host, "addr", "add", `${addresses[i]}/24`, "dev", `veth${i}`);
      for (const device of [`veth${i}`, "lo"]) ip("-n", host, "link", "set", device, "up");
    });
    return true;
  } catch {
    removeHosts();
    return false;
  }
}

function removeHosts(): void {
  for (const host of hosts)
    try {
      ip("netns", "del", host);
    } catch {
      // it was never made
    }
}

const can_connect = connectHosts();
afterAll(removeHosts);

describe.skipIf(!can_connect)("two hosts (network namespaces)", () => {
  const place = workspace();
  beforeAll(async () => {
    const changes = {
      prompts_per_step: 4,
      completions_per_update: 8,
      rewards: [{ name: "length", max_tokens: 4 }],
      ...{ datasets: { train: await writeRows(place.folder) }, evaluate: {} },
      steps: 4,
    };
    const model = { ...smallRun.model, path: place.model };
    await writeFile(place.path("run.yaml"), stringify({ ...smallRun, ...changes, model }));
  });

  const onHost = (node_rank: 0 | 1, folder: string, ...options: readonly string[]): Running =>
    startProgram("ip", [
      ...["netns", "exec", hosts[node_rank], process.execPath, program, "train", place.path("run.yaml")],
      ...["--run-folder", place.path(folder), "--nproc", "1", "--nodes", "2", "--node-rank", `${node_rank}`],
      ...["--master", `${addresses[0]}:29500`, "--liveness-timeout", "3", ...options],
    ]);
  const both = (folder: string, ...options: readonly string[]): readonly Running[] => [
    onHost(0, folder, ...options),
    onHost(1, folder, ...options),
  ];

  test("come to what two processes of one host come to, bit for bit", async () => {
    for (const { code, stderr } of await Promise.all(both("hosts").map(({ done }) => done)))
      expect(code, stderr).toBe(0);
    const one_host = ["train", place.path("run.yaml"), "--run-folder", place.path("host"), "--nproc", "2"];
    expect(await sightloop(one_host)).toMatchObject({ code: 0 });
    const ignored = /manifest|metrics|config\.yaml/;
    expect(hashes(place.path("hosts"), ignored)).toEqual(hashes(place.path("host"), ignored));
  });

  test("a cut cable ends both within the liveness timeout, each naming the other", async () => {
    const [first, second] = both("cut", "--set", "steps=400");
    await first!.line(/step 2\/400/);
    cut("down");
    const at = performance.now();
    const outcomes = await Promise.all([first!.done, second!.done]);
    expect(performance.now() - at).toBeLessThan(30_000);
    outcomes.forEach(({ code, stderr }, rank) => {
      expect(code, stderr).toBe(3);
      expect(stderr).toContain(`error: rank ${1 - rank} on ${addresses[1 - rank]} has not been heard from for 3 s`);
      expect(stderr).toMatch(/in the \w+ phase of step \d+/);
    });
    cut("up");
    await rm(place.path("cut"), { recursive: true });
  });

  test("the loss of the first host ends the second, though it held the meeting point", async () => {
    const [first, second] = both("stopped", "--set", "steps=400");
    await first!.line(/step 2\/400/);
    first!.child.kill("SIGKILL"); // its rank sees its parent gone, and stops
    const [, other] = await Promise.all([first!.done, second!.done]);
    expect(other.code, other.stderr).not.toBe(0);
    expect(other.stderr).toMatch(/rank 0|interrupted/);
  });
});
