import { evaluationSettingSchema } from "../config/sections.js";
import { datasetSchema, openDataset } from "../datasets/registry.js";
import type { Deterministic, Dtype } from "../engine/engine.js";
import { UserError } from "../errors.js";
import { evaluate } from "../evaluate/evaluate.js";
import type { EvaluationResult } from "../evaluate/result.js";
import { openInference } from "../pipeline/inference.js";
import { withPhase } from "../pipeline/loop.js";
import { downloadBar } from "./download-bar.js";
import { percent, table } from "./format.js";
import { untilInterrupted } from "./interrupt.js";
import { loadingBar } from "./loading-bar.js";
import { numberCheck, whole } from "./numbers.js";
import { jsonLine, presenter } from "./present.js";
import { yamlOption } from "./yaml-option.js";

export interface EvaluateArguments {
  readonly model: string;
  readonly adapter: string | undefined;
  readonly dataset: string;
  readonly setting: readonly string[];
  readonly "max-items": number | undefined;
  readonly "max-completion-tokens": number;
  readonly "max-prompt-tokens": number;
  readonly "max-concurrent-completions": number;
  readonly "system-prompt": string | undefined;
  readonly dtype: Dtype;
  readonly deterministic: Deterministic;
  readonly seed: number;
  readonly threads: number;
  readonly json: boolean;
}

/** Accuracy of one model on one dataset, a row for each setting. */
export async function evaluateModel(args: EvaluateArguments): Promise<void> {
  const check = numberCheck("evaluate", args);
  for (const option of ["seed", "threads"] as const) check(option, ...whole(0));
  for (const option of ["max-items", "max-completion-tokens", "max-prompt-tokens"] as const) check(option, ...whole(1));
  check("max-concurrent-completions", ...whole(1));
  const dataset_config = yamlOption(datasetSchema, "evaluate --dataset", args.dataset);
  const settings = args.setting.map((text) => yamlOption(evaluationSettingSchema, "evaluate --setting", text));
  using interrupt = untilInterrupted();
  const { signal } = interrupt;
  using download = downloadBar();
  const hub = { signal, on_progress: download.show };
  const { seed, threads, dtype, deterministic } = args;
  try {
    const dataset = await openDataset(dataset_config, { base_folder: process.cwd(), hub });
    using loading = loadingBar(`loading ${args.model}`);
    const opening = { signal, on_progress: loading.show };
    await using model = await openInference(
      { model_path: args.model, adapter_path: args.adapter, seed, threads, dtype, deterministic, hub },
      opening,
    );
    loading.clear();
    using present = presenter({ json: false });
    const events = withPhase(
      evaluate({
        ...model,
        ...{ samples: dataset, settings, seed, signal },
        max_items: args["max-items"] ?? null,
        system_prompt: args["system-prompt"] ?? null,
        max_prompt_tokens: args["max-prompt-tokens"],
        max_completion_tokens: args["max-completion-tokens"],
        max_concurrent_completions: args["max-concurrent-completions"],
        kv_block_size: 16,
      }),
      0,
      "evaluate",
      "completions",
    );
    for (;;) {
      const next = await events.next();
      if (next.done !== true) {
        if (!args.json) present(next.value);
        continue;
      }
      present[Symbol.dispose]();
      console.log(
        args.json
          ? jsonLine({ model: args.model, adapter: args.adapter, dataset: dataset_config, results: next.value })
          : resultTable(next.value),
      );
      return;
    }
  } catch (cause) {
    if (!signal.aborted || cause instanceof UserError) throw cause;
    throw new UserError("INTERRUPTED", "interrupted before the evaluation was complete", "Run it again.", { cause });
  }
}

export function resultTable(results: readonly EvaluationResult[]): string {
  const ks = [...new Set(results.flatMap(({ pass_at }) => Object.keys(pass_at).map(Number)))].filter((k) => k > 1);
  return table(
    [
      "setting",
      "items",
      "per item",
      "accuracy",
      "95 % interval",
      ...ks.map((k) => `pass@${k}`),
      "mean length",
      "truncated",
    ],
    results.map((result) => [
      result.setting,
      String(result.num_items),
      String(result.completions_per_prompt),
      percent(result.accuracy),
      `${percent(result.interval[0])} to ${percent(result.interval[1])}`,
      ...ks.map((k) => (result.pass_at[k] === undefined ? "" : percent(result.pass_at[k]))),
      `${result.mean_completion_length.toFixed(1)} tokens`,
      percent(result.truncated),
    ]),
  );
}
