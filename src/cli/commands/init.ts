import type { CommandModule } from "yargs";
import type { InitArguments } from "../init.js";

export const initCommand: CommandModule<object, InitArguments> = {
  command: "init",
  describe: "Make a model folder with random weights",
  builder: (yargs) =>
    yargs
      .option("preset", { type: "string", describe: "one of the package's configs/models" })
      .option("config", {
        type: "string",
        describe: "a folder with config.json, tokenizer and preprocessor files, to copy from",
      })
      .option("output", { type: "string", demandOption: true, describe: "folder to make; must not exist or be empty" })
      .option("seed", { type: "number", default: 0, describe: "of the random weights" })
      .option("dtype", {
        choices: ["float32", "bfloat16"] as const,
        describe: "of the weights; default: what config.json says, or float32",
      })
      .option("json", { type: "boolean", default: false })
      .example("$0 init --preset fashion_grid_tiny --output models/tiny", "a model for the demo's task")
      .example("$0 init --preset qwen2_5_vl_3b --output models/3b", "the published shapes, 7.5 GB of bfloat16"),
  handler: async (args) => {
    const { init } = await import("../init.js");
    await init(args);
  },
};
