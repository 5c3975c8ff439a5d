import { join } from "node:path";
import { findProtocol, protocol_names } from "../config/protocols.js";
import { evaluationSettingSchema } from "../config/sections.js";
import { datasetSchema, openDataset } from "../datasets/registry.js";
import type { Deterministic } from "../engine/engine.js";
import { UserError } from "../errors.js";
import { evaluate } from "../evaluate/evaluate.js";
import type { Control, Evaluation, EvaluationResult, VisualGain } from "../evaluate/result.js";
import { sampleBatch } from "../evaluate/sample-batch.js";
import { openInference } from "../pipeline/inference.js";
import { withPhase } from "../pipeline/loop.js";
import { writeArrow } from "../reports/evaluation-files.js";
import { namesIn, writeAtomically } from "../reports/files.js";
import { checkDatasetNumbers, type DatasetArguments } from "./dataset-options.js";
import { downloadBar } from "./download-bar.js";
import { percent, table } from "./format.js";
import { untilInterrupted } from "./interrupt.js";
import { loadingBar } from "./loading-bar.js";
import { newFolder } from "./new-folder.js";
import { numberCheck } from "./numbers.js";
import { jsonLine, presenter } from "./present.js";
import { yamlOption } from "./yaml-option.js";

export interface EvaluateArguments extends DatasetArguments {
  readonly setting: readonly string[] | undefined;
  readonly protocol: string | undefined;
  readonly controls: string | undefined;
  readonly output: string | undefined;
  readonly deterministic: Deterministic;
  readonly json: boolean;
}

/** Accuracy of one model on one dataset, a row for each setting. */
export async function evaluateModel(args: EvaluateArguments): Promise<void> {
  const check = numberCheck("evaluate", args);
  checkDatasetNumbers(check);
  const dataset_config = yamlOption(datasetSchema, "evaluate --dataset", args.dataset);
  const settings = chosenSettings(args);
  const controls = chosenControls(args.controls);
  const { output } = args;
  if (output !== undefined && (await namesIn(output)).length > 0)
    throw new UserError("RUN_FOLDER_IN_USE", `${output} exists and is not empty`, "Choose another --output.");
  using interrupt = untilInterrupted();
  const { signal } = interrupt;
  using download = downloadBar();
  const hub = { signal, on_progress: download.show };
  const { seed, threads, dtype, device, deterministic } = args;
  try {
    const dataset = await openDataset(dataset_config, { base_folder: process.cwd(), hub });
    using loading = loadingBar(`loading ${args.model}`);
    const opening = { signal, on_progress: loading.show };
    await using model = await openInference(
      { model_path: args.model, adapter_path: args.adapter, seed, threads, dtype, device, deterministic, hub },
      opening,
    );
    loading.clear();
    using present = presenter({ json: false });
    const events = withPhase(
      evaluate({
        ...model,
        ...{ samples: dataset, settings, controls, seed, signal },
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
      const { results, visual_gain } = next.value;
      const found = { model: args.model, adapter: args.adapter, dataset: dataset_config, seed, results, visual_gain };
      if (output !== undefined) await write(output, found, next.value);
      console.log(args.json ? jsonLine(found) : [resultTable(results), ...visual_gain.map(gainLine)].join("\n"));
      return;
    }
  } catch (cause) {
    if (!signal.aborted || cause instanceof UserError) throw cause;
    throw new UserError("INTERRUPTED", "interrupted before the evaluation was complete", "Run it again.", { cause });
  }
}

function chosenSettings({ setting, protocol }: EvaluateArguments) {
  const hint = "sightloop evaluate --help";
  if (protocol === undefined) {
    const given = setting ?? ["{name: greedy}"];
    const settings = given.map((text) => yamlOption(evaluationSettingSchema, "evaluate --setting", text));
    const twice = settings.find(({ name }, i) => settings.findIndex((other) => other.name === name) < i);
    if (twice === undefined) return settings;
    throw new UserError("CONFIG_INVALID", `--setting: two settings have the name ${twice.name}`, hint);
  }
  if (setting !== undefined)
    throw new UserError("CONFIG_INVALID", "--protocol has settings of its own: give it or --setting, not both", hint);
  const settings = findProtocol(protocol);
  if (settings !== undefined) return settings;
  throw new UserError("CONFIG_INVALID", `--protocol ${protocol} is not known; there is: ${protocol_names}`, hint);
}

function chosenControls(given: string | undefined): readonly Exclude<Control, "none">[] {
  const names = new Set((given?.split(",") ?? []).map((name) => name.trim()));
  return [...names].map((name) => {
    if (name === "blank" || name === "shuffled") return name;
    const what = `--controls ${given}: "${name}" is not known; there are: blank, shuffled`;
    throw new UserError("CONFIG_INVALID", what, "sightloop evaluate --help");
  });
}

const write = (output: string, summary: { readonly dataset: object }, { samples }: Evaluation): Promise<void> =>
  newFolder(output, async (folder) => {
    const { name, split } = summary.dataset as { readonly name: string; readonly split?: string };
    await writeArrow(join(folder, "samples.arrow"), sampleBatch(samples, { dataset: name, split: split ?? "" }));
    await writeAtomically(join(folder, "summary.json"), `${JSON.stringify(summary, null, 2)}\n`);
  });

const gainLine = ({ setting, control, gain, interval: [low, high], num_items }: VisualGain): string =>
  `visual gain of ${setting} over ${control}: ${percent(gain)} (95 % interval ${percent(low)} to ${percent(high)}, ${num_items} items)`;

export function resultTable(results: readonly EvaluationResult[]): string {
  const is_controlled = results.some(({ control }) => control !== "none");
  const ks = [...new Set(results.flatMap(({ pass_at }) => Object.keys(pass_at).map(Number)))].filter((k) => k > 1);
  return table(
    [
      "setting",
      ...(is_controlled ? ["control"] : []),
      "items",
      "per item",
      "accuracy",
      "95 % interval",
      ...ks.map((k) => `pass@${k}`),
      ...ks.slice(-1).map((k) => `maj@${k}`),
      "mean length",
      "truncated",
    ],
    results.map((result) => [
      result.setting,
      ...(is_controlled ? [result.control] : []),
      String(result.num_items),
      String(result.completions_per_prompt),
      percent(result.accuracy),
      `${percent(result.interval[0])} to ${percent(result.interval[1])}`,
      ...ks.map((k) => (result.pass_at[k] === undefined ? "" : percent(result.pass_at[k]))),
      ...ks.slice(-1).map((k) => (result.majority_at[k] === undefined ? "" : percent(result.majority_at[k]))),
      `${result.mean_completion_length.toFixed(1)} tokens`,
      percent(result.truncated),
    ]),
  );
}
