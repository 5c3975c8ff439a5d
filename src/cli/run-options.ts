import type { Argv } from "yargs";
import { type DistributedArguments, distributedOptions } from "./distributed-options.js";
import { repeatable } from "./repeatable.js";

/** Options of the commands that train. */
export interface RunArguments extends DistributedArguments {
  readonly config: string | undefined;
  readonly set: readonly string[];
  readonly "run-folder": string | undefined;
  readonly resume: boolean;
  readonly "dry-run": boolean;
  readonly json: boolean;
}

export const runOptions = (yargs: Argv): Argv<RunArguments> =>
  distributedOptions(yargs)
    .positional("config", { type: "string", describe: "YAML file; with --resume, the run folder's own by default" })
    .option("set", {
      ...repeatable,
      describe: "key=value, over the file's: --set sampling.temperature=0.7; may be repeated",
    })
    .option("run-folder", { type: "string", describe: "where everything is written (run_folder)" })
    .option("resume", { type: "boolean", default: false, describe: "go on from the run folder's latest checkpoint" })
    .option("dry-run", { type: "boolean", default: false, describe: "show values, batches and memory; run nothing" })
    .option("json", { type: "boolean", default: false, describe: "one JSON object per event" });
