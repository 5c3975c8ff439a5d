import type { Argv } from "yargs";
import { UserError } from "../errors.js";
import { numberCheck, whole } from "./numbers.js";

/** Options of the commands that train over several processes. */
export interface DistributedArguments {
  readonly nproc: number | undefined;
  readonly nodes: number;
  readonly "node-rank": number;
  readonly master: string | undefined;
  readonly "max-restarts": number;
  readonly "rendezvous-timeout": number;
  readonly "liveness-timeout": number;
  readonly "collective-timeout": number;
}

const group = "Several processes:";

export const distributedOptions = (yargs: Argv): Argv<DistributedArguments> =>
  yargs
    .option("nproc", { group, type: "number", describe: "processes to start on this machine, one a device" })
    .option("nodes", { group, type: "number", default: 1, describe: "machines; start the command on each" })
    .option("node-rank", { group, type: "number", default: 0, describe: "which of them this is, from 0" })
    .option("master", { group, type: "string", describe: "host:port of machine 0; needed with --nodes" })
    .option("max-restarts", {
      ...{ group, type: "number", default: 0 },
      describe: "times to start again from the last checkpoint after a process was lost",
    })
    .option("rendezvous-timeout", {
      group,
      type: "number",
      default: 30,
      describe: "wait for all processes at the start (s)",
    })
    .option("liveness-timeout", {
      ...{ group, type: "number", default: 20 },
      describe: "silence after which a process counts as lost (s)",
    })
    .option("collective-timeout", {
      group,
      type: "number",
      default: 3600,
      describe: "wait for the others' gradients (s)",
    })
    .check((args) => {
      const check = numberCheck<DistributedArguments>(String(args._[0]), args);
      for (const option of ["nproc", "nodes"] as const) check(option, ...whole(1));
      for (const option of ["node-rank", "max-restarts"] as const) check(option, ...whole(0));
      for (const option of ["rendezvous-timeout", "liveness-timeout", "collective-timeout"] as const)
        check(option, "a number of 1 or more", (seconds) => seconds >= 1);
      return true;
    });

/** Host and port of `--master`. */
export function masterOf({ master, nodes, "node-rank": node_rank }: DistributedArguments): {
  address: string;
  port: number;
} {
  const wrong = (message: string): UserError =>
    new UserError("CONFIG_INVALID", message, "For example: --nodes 2 --node-rank 1 --master 10.0.0.1:29500 --nproc 8");
  if (node_rank >= nodes) throw wrong(`--node-rank is ${node_rank}, but ${nodes} machines count from 0`);
  if (master === undefined) {
    if (nodes > 1) throw wrong("--nodes needs --master, the address of machine 0 and a free port there");
    return { address: "127.0.0.1", port: 0 };
  }
  const [, address, port] = /^(.+):(\d+)$/.exec(master) ?? [];
  if (address === undefined || Number(port) < 1 || Number(port) > 65_535)
    throw wrong(`--master is ${JSON.stringify(master)}, not host:port`);
  return { address: address.replace(/^\[(.*)\]$/, "$1"), port: Number(port) };
}
