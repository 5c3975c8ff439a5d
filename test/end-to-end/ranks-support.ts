import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { beforeAll } from "vitest";
import { stringify } from "yaml";
import { type Outcome, type Rows, type Running, smallRun, start, workspace, writeRows } from "./support.js";

/** Several processes train one model: real processes, real c10d, through the command line. */
export function ranksWorkspace() {
  const place = workspace();
  const found: { data?: Rows } = {};
  beforeAll(async () => {
    const data = await writeRows(place.folder);
    found.data = data;
    const run = {
      ...smallRun,
      ...{ prompts_per_step: 4, completions_per_update: 8, steps: 10 },
      datasets: { train: data },
      evaluate: { ...smallRun.evaluate, every_steps: 0, max_items: 4 },
      model: { ...smallRun.model, path: place.model },
      rewards: [{ name: "accuracy" }, { name: "length", max_tokens: 4 }], // random models never answer right
      optimizer: { learning_rate: 1e-4, schedule: "constant" }, // `steps` may change
    };
    await writeFile(place.path("run.yaml"), stringify(run));
  });
  const started = (folder: string, options: readonly string[], env: Record<string, string> = {}): Running =>
    start(["train", place.path("run.yaml"), "--run-folder", place.path(folder), ...options], process.cwd(), env);
  return {
    place,
    data: (): Rows => found.data!,
    start: (folder: string, ...options: readonly string[]): Running => started(folder, options),
    train: (folder: string, ...options: readonly string[]): Promise<Outcome> => started(folder, options).done,
    /** One process, as a launcher other than ours starts it. */
    startRank: (rank: number, world_size: number, port: number, ...options: readonly string[]): Running =>
      started(`by-hand-${port}`, options, {
        ...{ RANK: `${rank}`, WORLD_SIZE: `${world_size}`, MASTER_ADDR: "127.0.0.1", MASTER_PORT: `${port}` },
      }),
  };
}

/** The exit code of a script that is one rank. */
export function node(script: string, options: object): Promise<number | null> {
  const child = spawn(process.execPath, [script, JSON.stringify(options)], { stdio: ["ignore", "ignore", "inherit"] });
  return new Promise((resolve) => child.on("close", resolve));
}
