import type { CommandModule } from "yargs";
import { datasetOptions } from "../dataset-options.js";
import type { SampleArguments } from "../sample.js";

export const sampleCommand: CommandModule<object, SampleArguments> = {
  command: "sample",
  describe: "Sample completions, keep those that are right, and write them as a dataset of solutions",
  builder: (yargs) =>
    yargs
      .options(datasetOptions)
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
