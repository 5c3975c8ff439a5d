import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { initFolder, presetFolder } from "../../src/cli/init-model.js";
import { type TrainConfig, trainConfigSchema } from "../../src/config/schema.js";
import { datasetSchema, openDataset } from "../../src/datasets/registry.js";
import type { TrainEvent } from "../../src/pipeline/events.js";
import { runTrain } from "../../src/pipeline/run.js";
import { metric } from "../../src/reports/metrics.js";
import { readMetrics } from "../../src/reports/metrics-file.js";

export const program = resolve("dist/cli/main.js");

/** A folder for one test file, with a tiny random model in `model`; removed at the end. */
export function workspace() {
  const place = { folder: "", model: "", path: (...parts: string[]) => join(place.folder, ...parts) };
  beforeAll(async () => {
    place.folder = await mkdtemp(join(tmpdir(), "sightloop-e2e-"));
    place.model = join(place.folder, "model");
    await initFolder(await presetFolder({ preset: "fashion_grid_tiny" }), place.model, 0);
  });
  afterAll(() => rm(place.folder, { recursive: true, force: true }));
  return place;
}

/**
 * The first ten rows of fashion_grid, as a dataset of files: processes that train for a second read it at once, where
 * fashion_grid reads 36,000 photos first.
 */
export async function writeRows(folder: string) {
  const grids = await openDataset(datasetSchema.parse({ name: "fashion_grid", count: 10 }), { base_folder: "." });
  const rows = Array.from({ length: 10 }, async (_, i) => {
    const { id, question, answer, images } = await grids.get(i);
    writeFileSync(join(folder, `${i}.png`), (images[0] as { bytes: Uint8Array }).bytes);
    return JSON.stringify({ id, question, answer, image: `${i}.png` });
  });
  writeFileSync(join(folder, "rows.jsonl"), (await Promise.all(rows)).join("\n"));
  return { name: "jsonl", path: join(folder, "rows.jsonl") } as const;
}
export type Rows = Awaited<ReturnType<typeof writeRows>>;

/** Small enough for a second a step. */
export const smallRun = {
  threads: 1, // a tiny model gains nothing from more, and waits for busy cores
  steps: 4,
  model: { train_vision_tower: true, train_connector: true },
  datasets: {
    train: { name: "fashion_grid", count: 10 },
    validation: { name: "fashion_grid", split: "validation", count: 4 },
  },
  ...{ prompts_per_step: 3, completions_per_prompt: 4, completions_per_update: 6 },
  reward_workers: 1, // each takes longer to start than these runs to train
  sampling: { max_completion_tokens: 6 },
  algorithm: { name: "grpo", kl_loss_coefficient: 0.01 },
  optimizer: { learning_rate: 1e-3, warmup_steps: 2 },
  rewards: [{ name: "accuracy" }],
  // An evaluation loads a judge, which takes longer than these steps: none before training.
  evaluate: {
    ...{ every_steps: 2, before_training: false },
    settings: [{ name: "t1", temperature: 1, completions_per_prompt: 2 }],
  },
  checkpoint: { every_steps: 2, keep_last: 0 },
} as const;

export function smallConfig(model: string, run_folder: string | null, changes: object = {}): TrainConfig {
  return trainConfigSchema.parse({ ...smallRun, ...changes, model: { ...smallRun.model, path: model }, run_folder });
}

export interface Ran {
  readonly events: readonly TrainEvent[];
  readonly error: unknown;
}

/** Trains in this process. `length` of the completion is a second reward: random models never answer right. */
export async function trainHere(
  config: TrainConfig,
  options: { resume?: boolean; signal?: AbortSignal; onEvent?: (event: TrainEvent) => void } = {},
): Promise<Ran> {
  const events: TrainEvent[] = [];
  const short = { name: "short", score: ({ token_count }: { token_count: number }) => -token_count };
  try {
    for await (const event of runTrain(
      config,
      {
        resume: options.resume ?? false,
        command: "again",
        base_folder: ".",
        rewards: [...config.rewards, short] as never,
      },
      options.signal ?? new AbortController().signal,
    )) {
      events.push(event);
      options.onEvent?.(event);
    }
    return { events, error: undefined };
  } catch (error) {
    return { events, error };
  }
}

/** Hash of every file below a folder, by relative path. */
export function hashes(folder: string, ignore = /^$/): Record<string, string> {
  const files: Record<string, string> = {};
  const visit = (path: string): void => {
    for (const name of readdirSync(path)) {
      const inner = join(path, name);
      if (statSync(inner).isDirectory()) visit(inner);
      else if (!ignore.test(relative(folder, inner)))
        files[relative(folder, inner)] = createHash("sha256").update(readFileSync(inner)).digest("hex");
    }
  };
  visit(folder);
  return files;
}

/** Lines of metrics.jsonl without what a clock or the memory says. */
export async function reproducibleMetrics(run_folder: string): Promise<readonly object[]> {
  const kept = ["type", "step", "split", "results"];
  return (await readMetrics(join(run_folder, "metrics.jsonl"))).map((line) =>
    Object.fromEntries(Object.entries(line).filter(([name]) => kept.includes(name) || metric(name).reproducible)),
  );
}

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcessWithoutNullStreams;
  readonly done: Promise<Outcome>;
  /** Resolves when stdout has a line that matches. */
  line(pattern: RegExp): Promise<void>;
}

/** Starts the command line as a user does. */
export const start = (args: readonly string[], cwd = process.cwd(), env: Record<string, string> = {}): Running =>
  startProgram(process.execPath, [program, ...args], cwd, env);

export function startProgram(
  command: string,
  args: readonly string[],
  cwd = process.cwd(),
  env: Record<string, string> = {},
): Running {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env } });
  let [stdout, stderr] = ["", ""];
  const waiting: { pattern: RegExp; resolve: () => void }[] = [];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    for (const { pattern, resolve } of waiting) if (pattern.test(stdout)) resolve();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const done = new Promise<Outcome>((settle) => {
    // Killed by a signal: the code a shell gives. Node takes its signal handlers down before the process is gone.
    child.on("close", (code, signal) =>
      settle({ code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]), stdout, stderr }),
    );
  });
  const line = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      waiting.push({ pattern, resolve });
      if (pattern.test(stdout)) resolve();
      void done.then(() => reject(new Error(`ended before ${pattern}:\n${stdout}\n${stderr}`)));
    });
  return { child, done, line };
}

/** What stderr says but for the progress of files, which shows when a busy machine takes seconds for them. */
export const withoutProgress = (stderr: string): string => stderr.replace(/^(loading|writing) .*, ETA .*\n/gm, "");

export const sightloop = (args: readonly string[], cwd?: string): Promise<Outcome> => start(args, cwd).done;
