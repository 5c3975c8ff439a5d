import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bench, type BenchOptions } from "../bench/bench.js";
import { type Sweep, sweep } from "../bench/sweep.js";
import type { DeviceChoice } from "../engine/device.js";
import type { Deterministic, Dtype } from "../engine/engine.js";
import { libtorchVersion } from "../engine/ceilings.js";
import { UserError } from "../errors.js";
import { manifest } from "../reports/manifest.js";
import { benchProgress } from "./bench-progress.js";
import { benchText, sweepText } from "./bench-table.js";
import { initFolder, presetFolder } from "./init-model.js";
import { untilInterrupted } from "./interrupt.js";
import { numberCheck, whole } from "./numbers.js";
import { widenedPreset } from "./widened-preset.js";

export interface BenchArguments {
  readonly model: string | undefined;
  readonly preset: string;
  readonly prompts: number;
  readonly completions: number;
  readonly "new-tokens": number;
  readonly image: number;
  readonly "images-per-prompt": number;
  readonly "prompt-tokens": number | undefined;
  readonly steps: number;
  readonly trainable: "all" | "language_model";
  readonly reference: boolean;
  readonly "tokens-per-microbatch": number;
  readonly dtype: Dtype;
  readonly device: DeviceChoice;
  readonly deterministic: Deterministic;
  readonly "activation-checkpointing": boolean;
  readonly sweep: Sweep | undefined;
  readonly seed: number;
  readonly threads: number;
  readonly json: boolean;
}

/** Seconds given to each measurement of a limit. */
const limit_seconds = 0.1;

export async function benchCommandLine(args: BenchArguments): Promise<void> {
  check(args);
  using interrupt = untilInterrupted();
  const { signal } = interrupt;
  const folder = await mkdtemp(join(tmpdir(), "sightloop-bench-"));
  using progress = benchProgress(args.json);
  try {
    const options = benchOptions(args, args.model ?? (await randomModel(args, folder, 1)));
    const about = { command: commandOf(args), model: args.model ?? `random ${args.preset}`, options };
    const surroundings = await manifest(args.seed, { libtorch: libtorchVersion() });
    if (args.sweep === undefined) {
      const result = await bench(options, signal, progress.show);
      progress[Symbol.dispose]();
      console.log(
        args.json ? JSON.stringify({ ...about, ...surroundings, result }) : benchText(about, surroundings, result),
      );
      return;
    }
    const widen = (factor: number): Promise<string> => randomModel(args, folder, factor);
    const points = await sweep(args.sweep, options, { widen, signal, onProgress: progress.show });
    progress[Symbol.dispose]();
    console.log(
      args.json
        ? JSON.stringify({ ...about, ...surroundings, sweep: args.sweep, points })
        : sweepText(about, surroundings, args.sweep, points),
    );
  } catch (cause) {
    if (!signal.aborted || cause instanceof UserError) throw cause;
    throw new UserError("INTERRUPTED", "interrupted before the measurement was complete", "Run it again.", { cause });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function check(args: BenchArguments): void {
  const of = numberCheck("bench", args);
  for (const option of ["prompts", "completions", "new-tokens", "steps", "tokens-per-microbatch"] as const)
    of(option, ...whole(1));
  for (const option of ["image", "prompt-tokens"] as const) of(option, ...whole(1));
  for (const option of ["images-per-prompt", "seed", "threads"] as const) of(option, ...whole(0));
  const refuse = (message: string, hint: string): never => {
    throw new UserError("CONFIG_INVALID", message, hint);
  };
  if (args.sweep === "images" && args["images-per-prompt"] === 0)
    refuse("--sweep images multiplies --images-per-prompt, which is 0", "Ask for at least one image per prompt.");
  if (args.sweep === "width" && args.model !== undefined)
    refuse("--sweep width makes models of its own", "Leave --model out; --preset chooses what they are made from.");
}

const benchOptions = (args: BenchArguments, model_path: string): BenchOptions => ({
  ...{ model_path, prompts: args.prompts, completions: args.completions, new_tokens: args["new-tokens"] },
  ...{ image: args.image, images_per_prompt: args["images-per-prompt"], prompt_tokens: args["prompt-tokens"] },
  ...{ steps: args.steps, trainable: args.trainable, with_reference: args.reference, threads: args.threads },
  ...{ tokens_per_microbatch: args["tokens-per-microbatch"], seed: args.seed, limit_seconds },
  ...{
    ...{ dtype: args.dtype, device: args.device },
    deterministic: args.deterministic,
    activation_checkpointing: args["activation-checkpointing"],
  },
});

/** A preset's model with random weights, `factor` times as wide. */
async function randomModel(args: BenchArguments, folder: string, factor: number): Promise<string> {
  const preset = await presetFolder({ preset: args.preset });
  const source = factor === 1 ? preset : await widenedPreset(preset, join(folder, `preset-${factor}`), factor);
  const model = join(folder, `model-${factor}`);
  await initFolder(source, model, args.seed);
  return model;
}

/** What to type to measure the same again. */
const commandOf = (args: BenchArguments): string =>
  [
    "sightloop bench",
    ...(args.model === undefined ? [`--preset ${args.preset}`] : [`--model ${args.model}`]),
    `--prompts ${args.prompts} --completions ${args.completions} --new-tokens ${args["new-tokens"]}`,
    `--image ${args.image} --images-per-prompt ${args["images-per-prompt"]}`,
    ...(args["prompt-tokens"] === undefined ? [] : [`--prompt-tokens ${args["prompt-tokens"]}`]),
    `--steps ${args.steps} --trainable ${args.trainable}${args.reference ? "" : " --no-reference"}`,
    `--tokens-per-microbatch ${args["tokens-per-microbatch"]} --seed ${args.seed} --threads ${args.threads}`,
    `--dtype ${args.dtype} --device ${args.device} --deterministic ${args.deterministic}${args["activation-checkpointing"] ? " --activation-checkpointing" : ""}`,
    ...(args.sweep === undefined ? [] : [`--sweep ${args.sweep}`]),
  ].join(" ");
