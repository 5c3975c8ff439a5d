import type { CommandModule } from "yargs";
import { datasetOptions } from "../dataset-options.js";
import { deterministicOption } from "../dtype.js";
import type { EvaluateArguments } from "../evaluate-model.js";

export const evaluateCommand: CommandModule<object, EvaluateArguments> = {
  command: "evaluate",
  describe: "Measure a model's accuracy on a dataset",
  builder: (yargs) =>
    yargs
      .options(datasetOptions)
      .option("dataset", {
        type: "string",
        demandOption: true,
        describe: "YAML: {name: fashion_grid, split: test, ...}",
      })
      .option("setting", {
        type: "string",
        array: true,
        nargs: 1,
        describe:
          "YAML: {name, temperature, top_p, top_k, completions_per_prompt, assistant_prefix}; may be repeated; default {name: greedy}",
      })
      .option("protocol", { type: "string", describe: "settings by name, in place of --setting: paper" })
      .option("controls", {
        type: "string",
        describe: "also without the images' content: blank, shuffled or both, by commas",
      })
      .option("output", {
        type: "string",
        describe: "new folder for samples.arrow (a row a completion) and summary.json",
      })
      .option("deterministic", deterministicOption)
      .option("json", { type: "boolean", default: false, describe: "one JSON object" })
      .example(
        '$0 evaluate --model m --dataset "{name: jsonl, path: test.jsonl}" --setting "{name: t1, temperature: 1, completions_per_prompt: 8}"',
        "pass@1 to pass@8 at temperature 1",
      )
      .example(
        '$0 evaluate --model m --dataset "{name: jsonl, path: test.jsonl}" --protocol paper --controls blank,shuffled --output eval',
        "the paper's three settings, what the images are worth, and every completion in a file",
      ),
  handler: async (args) => {
    const { evaluateModel } = await import("../evaluate-model.js");
    await evaluateModel(args);
  },
};
