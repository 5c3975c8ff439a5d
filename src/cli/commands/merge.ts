import type { CommandModule } from "yargs";
import { dtypeOption } from "../dtype.js";
import type { MergeArguments } from "../merge.js";

export const mergeCommand: CommandModule<object, MergeArguments> = {
  command: "merge",
  describe: "Write a model with a LoRA adapter merged into its weights",
  builder: (yargs) =>
    yargs
      .option("model", {
        type: "string",
        demandOption: true,
        describe: "the adapter's base, in the Hugging Face layout",
      })
      .option("adapter", { type: "string", demandOption: true, describe: "folder in PEFT's format" })
      .option("output", { type: "string", demandOption: true, describe: "folder to make; must not exist or be empty" })
      .option("dtype", { ...dtypeOption, describe: "of the written weights" })
      .option("json", { type: "boolean", default: false })
      .example("$0 merge --model models/qwen --adapter run/checkpoints/step-000100/adapter --output models/merged", ""),
  handler: async (args) => {
    const { merge } = await import("../merge.js");
    await merge(args);
  },
};
