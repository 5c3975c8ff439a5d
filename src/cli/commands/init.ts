import type { CommandModule } from "yargs";

interface Arguments {
  readonly preset: string | undefined;
  readonly config: string | undefined;
  readonly output: string;
  readonly seed: number;
  readonly json: boolean;
}

export const initCommand: CommandModule<object, Arguments> = {
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
      .option("json", { type: "boolean", default: false })
      .example("$0 init --preset fashion_grid_tiny --output models/tiny", "a model for the demo's task"),
  handler: async (args) => {
    const { initFolder, presetFolder } = await import("../init-model.js");
    const source = await presetFolder(args);
    const { num_parameters } = await initFolder(source, args.output, args.seed);
    if (args.json) console.log(JSON.stringify({ path: args.output, num_parameters, seed: args.seed }));
    else console.log(`${args.output}: ${num_parameters.toLocaleString("en")} parameters, seed ${args.seed}`);
  },
};
