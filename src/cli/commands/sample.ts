import type { CommandModule } from "yargs";
import { adapterOption } from "../adapter.js";
import { dtypeOption } from "../dtype.js";
import type { SampleArguments } from "../sample.js";

export const sampleCommand: CommandModule<object, SampleArguments> = {
  command: "sample",
  describe: "Sample completions, keep those that are right, and write them as a dataset of solutions",
  builder: (yargs) =>
    yargs
      .option("model", { type: "string", demandOption: true, describe: "folder in the Hugging Face layout" })
      .option("adapter", adapterOption)
      .option("dataset", {
        type: "string",
        demandOption: true,
        describe: "YAML: {name: fashion_grid, count: 100, ...}",
      })
      .option("output", { type: "string", demandOption: true, describe: "folder to make: data.jsonl and images/" })
      .option("completions-per-prompt", { type: "number", default: 8 })
      .option("keep", { type: "number", default: 1, describe: "different right completions kept of a prompt, at most" })
      .option("temperature", { type: "number", default: 1 })
      .option("top-p", { type: "number", default: 1 })
      .option("top-k", { type: "number", default: 0 })
      .option("max-items", { type: "number", describe: "only the first ones" })
      .option("max-completion-tokens", { type: "number", default: 1024 })
      .option("max-prompt-tokens", { type: "number", default: 4096 })
      .option("max-concurrent-completions", { type: "number", default: 64 })
      .option("system-prompt", { type: "string", describe: "instead of the chat template's own" })
      .option("dtype", dtypeOption)
      .option("seed", { type: "number", default: 0 })
      .option("threads", { type: "number", default: 0, describe: "0 takes all cores" })
      .option("json", { type: "boolean", default: false, describe: "JSON lines" })
      .example(
        '$0 sample --model m --dataset "{name: jsonl, path: train.jsonl}" --output data/own',
        "then `sightloop sft` on {name: jsonl, path: data/own/data.jsonl}: rejection-sampling fine-tuning",
      ),
  handler: async (args) => {
    const { sample } = await import("../sample.js");
    await sample(args);
  },
};
