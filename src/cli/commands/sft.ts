import type { CommandModule } from "yargs";
import { type RunArguments, runOptions } from "../run-options.js";

export const sftCommand: CommandModule<object, RunArguments> = {
  command: "sft [config]",
  describe: "Fine-tune a model on a dataset's solutions",
  builder: (yargs) =>
    runOptions(yargs)
      .example("$0 sft configs/demo_sft.yaml --set model.path=models/tiny", "warm start of a new model")
      .example("$0 sft run.yaml --dry-run", "only show values, batches and memory"),
  handler: async (args) => {
    const { sftCommandLine } = await import("../run-training.js");
    await sftCommandLine(args);
  },
};
