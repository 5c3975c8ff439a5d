import type { CommandModule } from "yargs";
import { repeatable } from "../repeatable.js";
import type { DataCheckArguments } from "../data-check.js";

const checkCommand: CommandModule<object, DataCheckArguments> = {
  command: "check <target>",
  describe: "Read every row of a dataset, or of a config's, and list the bad ones",
  builder: (yargs) =>
    yargs
      .positional("target", {
        type: "string",
        demandOption: true,
        describe: "a config (.yaml), a .jsonl or .parquet file, a folder of parquet files, or YAML as in a config",
      })
      .option("model", {
        type: "string",
        describe: "whose tokenizer counts tokens (no weights needed); default: the config's, if it is there",
      })
      .option("set", { ...repeatable, describe: "key=value, over the config's; may be repeated" })
      .option("max-prompt-tokens", {
        type: "number",
        describe: "longer prompts are bad rows; default: the config's, if any",
      })
      .option("json", { type: "boolean", default: false, describe: "one JSON object" })
      .example(
        "$0 data check run.yaml",
        "all splits, with token counts, and what they share; exit code 2 if a row is bad",
      )
      .example('$0 data check "{name: parquet, path: org/name, split: train}"', "a dataset of the hub"),
  handler: async (args) => {
    const { dataCheck } = await import("../data-check.js");
    if (!(await dataCheck(args))) process.exitCode = 2;
  },
};

export const dataCommand: CommandModule = {
  command: "data",
  describe: "Check datasets before anyone trains on them",
  builder: (yargs) => yargs.command(checkCommand).demandCommand(1, "no command given: `sightloop data check <target>`"),
  handler: () => {},
};
