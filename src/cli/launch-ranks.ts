import { join } from "node:path";
import { checkpointSteps } from "../reports/checkpoints.js";
import { supervise } from "../launch/supervise.js";
import { type DistributedArguments, masterOf } from "./distributed-options.js";
import { untilInterrupted } from "./interrupt.js";

/** Of the command line, what is the supervisor's alone. */
const own_options = ["nproc", "nodes", "node-rank", "master", "max-restarts"];

/** `--nproc`: starts the ranks with the rest of this command line and waits for them. */
export async function launchRanks(args: DistributedArguments, run_folder: string): Promise<void> {
  using interrupt = untilInterrupted();
  const { nproc = 1, nodes, "node-rank": node_rank, "max-restarts": max_restarts } = args;
  const hasCheckpoint = async (): Promise<boolean> =>
    (await checkpointSteps(join(run_folder, "checkpoints"))).length > 0;
  const given = withoutOptions(process.argv.slice(2), own_options);
  process.exitCode = await supervise(
    {
      command: [
        process.execPath,
        process.argv[1]!,
        ...withoutOptions(given, ["run-folder"]),
        "--run-folder",
        run_folder,
      ],
      ...{ nproc, nodes, node_rank, ...masterOf(args), max_restarts },
      restartArguments: async () => (!given.includes("--resume") && (await hasCheckpoint()) ? ["--resume"] : []),
      grace_s: args["liveness-timeout"] + 10,
      onLine: (line) => process.stderr.write(`sightloop: ${line}\n`),
    },
    interrupt.signal,
  );
}

/** Without `--name value` and `--name=value`. */
export function withoutOptions(argv: readonly string[], names: readonly string[]): readonly string[] {
  const kept: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    if (names.some((name) => word === `--${name}`)) i += 1;
    else if (!names.some((name) => word.startsWith(`--${name}=`))) kept.push(word);
  }
  return kept;
}
