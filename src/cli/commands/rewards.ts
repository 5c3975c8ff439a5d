import type { CommandModule } from "yargs";
import { repeatable } from "../repeatable.js";
import type { RewardsTestArguments } from "../rewards-test.js";

const testCommand: CommandModule<object, RewardsTestArguments> = {
  command: "test <config>",
  describe: "Grade the truth, a wrong answer and nothing for some rows, or given completions, before anyone trains",
  builder: (yargs) =>
    yargs
      .positional("config", { type: "string", demandOption: true, describe: "YAML file of `sightloop train`" })
      .option("set", { ...repeatable, describe: "key=value, over the file's; may be repeated" })
      .option("rows", { type: "number", default: 20, describe: "of the training set, from the front" })
      .option("completions", {
        type: "string",
        describe: "JSONL instead: {completion, answer or id of a row, finish_reason, token_count}",
      })
      .option("sample", { type: "number", default: 0, describe: "completions a row sampled from the config's model" })
      .option("json", { type: "boolean", default: false, describe: "one JSON object a grade" })
      .example("$0 rewards test run.yaml", "20 rows: what each reward says, and how long it takes")
      .example("$0 rewards test run.yaml --rows 5 --sample 4", "and 4 sampled completions of each"),
  handler: async (args) => {
    const { rewardsTest } = await import("../rewards-test.js");
    await rewardsTest(args);
  },
};

export const rewardsCommand: CommandModule = {
  command: "rewards",
  describe: "Try a config's rewards",
  builder: (yargs) =>
    yargs
      .command(testCommand)
      .demandCommand(1, "rewards: what to do? `sightloop rewards test <config>`")
      .example("$0 rewards test run.yaml", "20 rows: what each reward says, and how long it takes"),
  handler: () => {},
};
