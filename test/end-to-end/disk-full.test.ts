/**
 * A disk that is full, a real one: a small tmpfs in a mount namespace of its own. Skipped where the system does not let
 * this user make one.
 */
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { beforeAll, describe, expect, test } from "vitest";
import { hashes, reproducibleMetrics, workspace } from "./support.js";

const place = workspace();

function canMount(): boolean {
  if (process.platform !== "linux") return false;
  try {
    execFileSync("unshare", ["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const request = (run_folder: string, resume = false) => ({
  ...{ run_folder, resume, steps: 5, threads: 1 },
  model: { path: place.model, train_vision_tower: true, train_connector: true }, // 14 MB a checkpoint
  ...{ prompts_per_step: 2, completions_per_prompt: 4, completions_per_update: 8 },
  dataset: { name: "fashion_grid", count: 7 },
  sampling: { max_completion_tokens: 5 },
  algorithm: { name: "grpo" },
  optimizer: { learning_rate: 1e-3 },
  checkpoint: { every_steps: 2, keep_last: 1 },
});

async function shell(program: readonly string[]): Promise<string> {
  const child = spawn(program[0]!, program.slice(1));
  const [out] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return out;
}

/**
 * Trains on a disk of `size` until it is full, copies the run to `stopped`, makes room, resumes and copies it to `ended`.
 * `meanwhile` runs beside the first training. The disk exists for these commands alone.
 */
async function onSmallDisk(name: string, size: string, meanwhile: string) {
  const [disk, stopped, ended] = ["disk", "stopped", "ended"].map((part) => place.path(`${name}-${part}`)) as [
    string,
    string,
    string,
  ];
  mkdirSync(disk);
  const train = (resume: boolean) =>
    `"${process.execPath}" test/helpers/train.mjs '${JSON.stringify(request(`${disk}/run`, resume))}'`;
  const script = [
    `mount -t tmpfs -o size=${size} tmpfs ${disk}`,
    `(${meanwhile}) & ${train(false)}; echo "exit $?"; wait`,
    `rm -f ${disk}/fill; mount -o remount,size=200m ${disk}`,
    `cp -r ${disk}/run ${stopped}`,
    `echo resumed; ${train(true)}; cp -r ${disk}/run ${ended}`,
  ]
    .join("\n")
    .replaceAll("DISK", disk);
  const [first = "", second = ""] = (await shell(["unshare", "-m", "sh", "-c", script])).split("resumed\n");
  const events = (output: string) =>
    output.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as Record<string, unknown>] : []));
  return { first: events(first), code: /exit (\d+)/.exec(first)?.[1], second: events(second), stopped, ended };
}

const results = (folder: string) =>
  hashes(folder, /(^|\/)(config\.yaml|manifest.*\.json|metrics\.jsonl|cursor\.json)$/);

describe.skipIf(!canMount())("a full disk (a tmpfs, by unshare -m)", () => {
  beforeAll(async () => {
    await shell([process.execPath, "test/helpers/train.mjs", JSON.stringify(request(place.path("whole")))]);
  });

  test.each([
    // The first checkpoint fits, the second does not.
    [
      "before a save",
      "20m",
      "true",
      /checkpoints\/step-000004 takes 1\d\.\d MiB, and \d\.\d MiB are free there; nothing was written$/,
    ],
    [
      "during rollouts",
      "60m",
      "while [ ! -e DISK/run/checkpoints/latest ]; do sleep 0.02; done; cat /dev/zero > DISK/fill",
      /DISK\/run.* cannot be written: the disk is full \(ENOSPC\); 0\.0 MiB are free there/,
    ],
  ])(
    "%s: the error names file and free space, the last checkpoint is whole, a resume goes on",
    async (when, size, meanwhile, message) => {
      const name = when.replaceAll(" ", "-");
      const { first, code, second, stopped, ended } = await onSmallDisk(name, size, meanwhile);
      expect(code).toBe("2");
      const failed = first.at(-1)!;
      expect(failed).toMatchObject({
        type: "failed",
        code: "FILE_NOT_WRITABLE",
        hint: expect.stringContaining("--resume") as string,
      });
      expect(String(failed["message"]).replaceAll(place.path(`${name}-disk`), "DISK")).toMatch(message);
      expect(readdirSync(`${stopped}/checkpoints`).sort()).toEqual(["latest", "step-000002"]);
      expect(readFileSync(`${stopped}/checkpoints/latest`, "utf8")).toBe("step-000002\n");

      expect(second[0]).toMatchObject({ type: "started", step: 2 });
      expect(second.at(-1)).toMatchObject({ type: "done", step: 5 });
      expect(results(ended)).toEqual(results(place.path("whole")));
      expect(await reproducibleMetrics(ended)).toEqual(await reproducibleMetrics(place.path("whole")));
    },
  );

  test("before a run: nothing is learned and nothing is left", async () => {
    const disk = place.path("small");
    mkdirSync(disk);
    const train = `"${process.execPath}" test/helpers/train.mjs '${JSON.stringify(request(`${disk}/run`))}'`;
    const script = `mount -t tmpfs -o size=9m tmpfs ${disk}; ${train}; ls -A ${disk}`;
    const said = (await shell(["unshare", "-m", "sh", "-c", script])).trim().split("\n");
    expect(said).toHaveLength(1);
    expect(JSON.parse(said[0]!)).toMatchObject({
      ...{ type: "failed", code: "FILE_NOT_WRITABLE" },
      message: expect.stringMatching(/run\/checkpoints takes 1\d\.\d MiB, and \d\.\d MiB are free there/) as string,
    });
  });

  test("while the engine writes: the file is named", async () => {
    const disk = place.path("tiny");
    mkdirSync(disk);
    const init = `"${process.execPath}" dist/cli/main.js init --preset fashion_grid_tiny --output ${disk}/model`;
    const script = `mount -t tmpfs -o size=2m tmpfs ${disk}; ${init} 2>&1; echo "exit $?"`;
    const said = await shell(["unshare", "-m", "sh", "-c", script]);
    expect(said).toMatch(/model\.safetensors.*No space left on device/);
    expect(said).toContain("exit 2");
  });
});
