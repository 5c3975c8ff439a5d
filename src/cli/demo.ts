import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadConfig } from "../config/load.js";
import { type SftConfig, sftConfigSchema, type TrainConfig, trainConfigSchema } from "../config/schema.js";
import { datasetSchema, openDataset } from "../datasets/registry.js";
import { UserError } from "../errors.js";
import { evaluate, type EvaluationSetting } from "../evaluate/evaluate.js";
import type { EvaluationResult } from "../evaluate/result.js";
import type { TrainEvent } from "../pipeline/events.js";
import { openInference } from "../pipeline/inference.js";
import { withPhase } from "../pipeline/loop.js";
import { runSft, runTrain } from "../pipeline/run.js";
import { writing } from "../reports/files.js";
import { demoReport, type DemoResults } from "./demo-report.js";
import { initFolder, package_folder, presetFolder } from "./init-model.js";
import { untilInterrupted } from "./interrupt.js";
import { numberCheck, whole } from "./numbers.js";
import { jsonLine, type Presenter, presenter, resultLine } from "./present.js";
import { timestamp } from "./run-training.js";

export interface DemoArguments {
  readonly seed: number;
  readonly "run-folder": string | undefined;
  readonly "sft-steps": number | undefined;
  readonly "rl-steps": number | undefined;
  readonly "test-items": number | undefined;
  readonly threads: number;
  readonly json: boolean;
}

const one = { top_k: 0, top_p: 1, completions_per_prompt: 1 };
const greedy: EvaluationSetting = { name: "greedy", temperature: 0, assistant_prefix: "", ...one };
const sampled: EvaluationSetting = { name: "t1", temperature: 1, assistant_prefix: "", ...one };
/** The answer is made to begin by working it out: what is left to differ is how well that is done. */
const worked: EvaluationSetting = { name: "worked", temperature: 0, assistant_prefix: "<think>", ...one };

const default_test_items = 1000;

/** Random weights, warm start, reinforcement learning; then the table that compares them on unseen photos. */
export async function demo(args: DemoArguments): Promise<void> {
  const check = numberCheck("demo", args);
  for (const option of ["seed", "threads"] as const) check(option, ...whole(0));
  for (const option of ["sft-steps", "rl-steps", "test-items"] as const) check(option, ...whole(1));
  const started = performance.now();
  const folder = args["run-folder"] ?? join("runs", `demo-${timestamp()}`);
  const random_model = join(folder, "random", "model");
  const sft_config = await demoConfig(sftConfigSchema, "demo_sft.yaml", args, args["sft-steps"], {
    "model.path": random_model,
    run_folder: join(folder, "sft"),
  });
  using interrupt = untilInterrupted();
  using present = presenter(args);
  const say = (text: string): void => present({ type: "note", message: text });
  const context: Context = { args, present, signal: interrupt.signal, config: sft_config };

  say(`a small Qwen2.5-VL with random weights (seed ${args.seed}); everything goes to ${folder}`);
  await initFolder(await presetFolder({ preset: "fashion_grid_tiny" }), random_model, args.seed);
  const random = await measure(context, "random weights", random_model, [greedy, sampled]);

  say("warm start: fine-tuning on worked and direct solutions over 240 labelled photos");
  const run = (name: string) => ({ resume: false, command: resumeCommand(name, join(folder, name)), base_folder: "." });
  const sft_model = await follow(runSft(sft_config, run("sft"), interrupt.signal), present);
  const sft = await measure(context, "warm start", sft_model, [greedy, sampled, worked]);

  say("reinforcement learning on photos it has never seen, told only whether the total is right");
  const rl_config = await demoConfig(trainConfigSchema, "demo_rl.yaml", args, args["rl-steps"], {
    "model.path": sft_model,
    run_folder: join(folder, "rl"),
  });
  const rl_model = await follow(runTrain(rl_config, run("rl"), interrupt.signal), present);
  const rl = await measure(context, "trained model", rl_model, [greedy, sampled, worked]);

  const results: DemoResults = { random, sft, rl };
  const seconds = (performance.now() - started) / 1000;
  const report = demoReport(results, { folder, sft_model, rl_model, seconds });
  await writing(folder, () => writeFile(join(folder, "report.txt"), `${report}\n`));
  console.log(args.json ? jsonLine({ type: "demo", folder, seconds, results }) : `\n${report}`);
}

const resumeCommand = (name: string, folder: string): string =>
  `sightloop ${name === "rl" ? "train" : name} --run-folder ${folder} --resume`;

/** A config of the package, with the demo's own values over it. */
async function demoConfig<S extends typeof sftConfigSchema | typeof trainConfigSchema>(
  schema: S,
  name: string,
  { seed, threads }: DemoArguments,
  steps: number | undefined,
  values: Readonly<Record<string, string>>,
): Promise<S extends typeof sftConfigSchema ? SftConfig : TrainConfig> {
  const set = Object.entries({ ...values, seed, threads, ...(steps !== undefined && { steps }) });
  const file = join(package_folder, "configs", name);
  const { config } = await loadConfig(
    schema as typeof sftConfigSchema,
    file,
    set.map(([key, value]) => `${key}=${JSON.stringify(value)}`),
  );
  return config as never;
}

/** Shows a training to its end and returns the trained model's folder. */
async function follow(events: AsyncGenerator<TrainEvent>, present: Presenter): Promise<string> {
  let model_path: string | null = null;
  for await (const event of events) {
    present(event);
    if (event.type === "done") model_path = event.model_path;
  }
  if (model_path === null) throw new Error("the training ended without a model");
  return model_path;
}

interface Context {
  readonly args: DemoArguments;
  readonly present: Presenter;
  readonly signal: AbortSignal;
  readonly config: SftConfig;
}

/** Accuracy over the test photos, which nothing was trained on or chosen by. */
async function measure(
  { args, present, signal, config }: Context,
  title: string,
  model_path: string,
  settings: readonly EvaluationSetting[],
): Promise<readonly EvaluationResult[]> {
  const count = args["test-items"] ?? default_test_items;
  const samples = await openDataset(datasetSchema.parse({ name: "fashion_grid", split: "test", count }), {
    base_folder: package_folder,
  });
  const { seed, threads } = args;
  await using model = await openInference({ model_path, seed, threads, dtype: "float32", deterministic: "run" });
  const { max_completion_tokens, max_concurrent_completions } = config;
  const evaluating = evaluate({
    ...{ engine: model.engine, processor: model.processor, samples, settings, seed, signal },
    ...{ max_items: null, ...config.prompt, max_completion_tokens, max_concurrent_completions, kv_block_size: 16 },
  });
  try {
    for (const events = withPhase(evaluating, 0, "evaluate", "completions"); ;) {
      const next = await events.next();
      if (next.done !== true) present(next.value);
      else {
        for (const result of next.value.results)
          present({ type: "note", message: `${title} on test, ${resultLine(result)}` });
        return next.value.results;
      }
    }
  } catch (cause) {
    if (!signal.aborted || cause instanceof UserError) throw cause;
    throw new UserError("INTERRUPTED", "interrupted while evaluating", "Start the demo again.", { cause });
  }
}
