import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ImageSource, Sample } from "../batches/sample.js";
import { datasetSchema, openDataset } from "../datasets/registry.js";
import { UserError } from "../errors.js";
import { openInference } from "../pipeline/inference.js";
import { rightCompletions } from "../pipeline/right-completions.js";
import { makeFolder } from "../reports/files.js";
import { checkDatasetNumbers, type DatasetArguments } from "./dataset-options.js";
import { downloadBar } from "./download-bar.js";
import { percent } from "./format.js";
import { untilInterrupted } from "./interrupt.js";
import { loadingBar } from "./loading-bar.js";
import { newFolder } from "./new-folder.js";
import { numberCheck, whole } from "./numbers.js";
import { presenter } from "./present.js";
import { yamlOption } from "./yaml-option.js";

export interface SampleArguments extends DatasetArguments {
  readonly output: string;
  readonly "completions-per-prompt": number;
  readonly keep: number;
  readonly temperature: number;
  readonly "top-p": number;
  readonly "top-k": number;
  readonly json: boolean;
}

/** `sightloop sample`: rejection sampling. The folder appears when it is complete, or not at all. */
export async function sample(args: SampleArguments): Promise<void> {
  const check = numberCheck("sample", args);
  checkDatasetNumbers(check);
  check("top-k", ...whole(0));
  for (const option of ["keep", "completions-per-prompt"] as const) check(option, ...whole(1));
  check("temperature", "0 (greedy) or more", (value) => value >= 0);
  check("top-p", "above 0 and at most 1", (value) => value > 0 && value <= 1);
  const dataset_config = yamlOption(datasetSchema, "sample --dataset", args.dataset);
  using interrupt = untilInterrupted();
  const { signal } = interrupt;
  try {
    using download = downloadBar();
    const hub = { signal, on_progress: download.show };
    const samples = await openDataset(dataset_config, { base_folder: process.cwd(), hub });
    using loading = loadingBar(`loading ${args.model}`);
    const { model: model_path, adapter: adapter_path, seed, threads, dtype, device } = args;
    const kept = await newFolder(args.output, async (folder) => {
      await using model = await openInference(
        { model_path, adapter_path, seed, threads, dtype, device, deterministic: "run", hub },
        { signal, on_progress: loading.show },
      );
      loading.clear();
      using present = presenter({ json: args.json });
      const sampling = rightCompletions({
        ...model,
        ...{ samples, seed, signal, temperature: args.temperature, top_p: args["top-p"], top_k: args["top-k"] },
        ...{ max_items: args["max-items"] ?? samples.length, completions_per_prompt: args["completions-per-prompt"] },
        ...{ keep: args.keep, system_prompt: args["system-prompt"] },
        max_prompt_tokens: args["max-prompt-tokens"],
        max_completion_tokens: args["max-completion-tokens"],
        max_concurrent_completions: args["max-concurrent-completions"],
      });
      for (;;) {
        const next = await sampling.next();
        if (next.done !== true) {
          present({ type: "progress", step: 0, phase: "rollout", unit: "completions", ...next.value });
          continue;
        }
        await writeRows(folder, next.value.kept);
        return next.value;
      }
    });
    const { num_sampled, num_right, num_prompts, num_solved } = kept;
    const summary = { path: join(args.output, "data.jsonl"), num_rows: kept.kept.length, num_sampled, num_right };
    if (args.json) console.log(JSON.stringify({ type: "sampled", ...summary, num_prompts, num_solved }));
    else
      console.log(
        `${summary.path}: ${summary.num_rows} solutions; ${percent(num_right / num_sampled)} of ${num_sampled} completions ` +
          `are right, ${num_solved} of ${num_prompts} prompts have one`,
      );
  } catch (cause) {
    if (!signal.aborted || cause instanceof UserError) throw cause;
    throw new UserError("INTERRUPTED", "interrupted; nothing was written", "Run it again.", { cause });
  }
}

async function writeRows(
  folder: string,
  rows: readonly { readonly sample: Sample; readonly completion: string }[],
): Promise<void> {
  if (rows.length === 0)
    throw new UserError(
      "DATASET_INVALID",
      "no completion is right, so there is nothing to write",
      "Raise --completions-per-prompt or --max-items, or start from a model that solves some of the prompts.",
    );
  await makeFolder(join(folder, "images"));
  const lines: string[] = [];
  for (const [i, { sample: row, completion }] of rows.entries()) {
    const image = await Promise.all(row.images.map((source) => storeImage(folder, source)));
    const { question, answer } = row;
    lines.push(`${JSON.stringify({ id: `${row.id}-${i}`, question, answer, solution: completion, image })}\n`);
  }
  await writeFile(join(folder, "data.jsonl"), lines.join(""));
}

/** By content, once each; the ending says nothing, as decoders go by the bytes. */
async function storeImage(folder: string, source: ImageSource): Promise<string> {
  const bytes = "path" in source ? await readFile(source.path) : source.bytes;
  const path = join("images", createHash("sha256").update(bytes).digest("hex"));
  await writeFile(join(folder, path), bytes);
  return path;
}
