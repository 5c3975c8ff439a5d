import type { CommandModule } from "yargs";
import { type RunArguments, runOptions } from "../run-options.js";

export const trainCommand: CommandModule<object, RunArguments> = {
  command: "train [config]",
  describe: "Train a model with reinforcement learning",
  builder: (yargs) =>
    runOptions(yargs)
      .example("$0 train configs/demo_rl.yaml", "one run, as the file says")
      .example("$0 train run.yaml --set optimizer.learning_rate=1e-5", "with one value changed")
      .example("$0 train run.yaml --dry-run", "only show values, batches and memory")
      .example("$0 train --run-folder runs/a --resume", "go on from the latest checkpoint"),
  handler: async (args) => {
    const { trainCommandLine } = await import("../run-training.js");
    await trainCommandLine(args);
  },
};
