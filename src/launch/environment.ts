import { UserError } from "../errors.js";

/** A process's place among those that train together, as launchers say it: torchrun, Slurm, Kubernetes, `--nproc`, a person. */
export interface Place {
  readonly rank: number;
  readonly world_size: number;
  readonly local_world_size: number;
  readonly address: string;
  readonly port: number;
  readonly store_is_launchers: boolean;
  readonly attempt: string;
  readonly interface: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * From RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT, or srun's variables; undefined for a process on its own.
 * @throws UserError RENDEZVOUS_FAILED naming the variable that is missing or wrong
 */
export function placeFrom(env: Environment): Place | undefined {
  const variables =
    env["RANK"] !== undefined || env["WORLD_SIZE"] !== undefined ? standard : inSlurmStep(env) ? slurm : undefined;
  if (variables === undefined) return undefined;
  const world_size = whole(env, variables.world_size, 1);
  const rank = whole(env, variables.rank, 0);
  if (rank >= world_size)
    throw wrong(`${variables.rank} is ${rank}, but the ${world_size} ranks of ${variables.world_size} count from 0`);
  if (world_size === 1) return undefined;
  return {
    rank,
    world_size,
    local_world_size: variables.localWorldSize(env),
    address: text(env, "MASTER_ADDR"),
    port: whole(env, "MASTER_PORT", 1, 65_535),
    store_is_launchers: env["TORCHELASTIC_USE_AGENT_STORE"] === "True",
    attempt: env["TORCHELASTIC_RESTART_COUNT"] ?? env["SIGHTLOOP_ATTEMPT"] ?? "0",
    interface: env["GLOO_SOCKET_IFNAME"] ?? "",
  };
}

const standard = {
  ...{ rank: "RANK", world_size: "WORLD_SIZE" },
  localWorldSize: (env: Environment) => (env["LOCAL_WORLD_SIZE"] === undefined ? 1 : whole(env, "LOCAL_WORLD_SIZE", 1)),
};
const slurm = { rank: "SLURM_PROCID", world_size: "SLURM_STEP_NUM_TASKS", localWorldSize: slurmTasksHere };

/** srun tells the tasks of its nodes as `4(x2),1`: two nodes with four, then one with one. */
function slurmTasksHere(env: Environment): number {
  const name = "SLURM_STEP_TASKS_PER_NODE";
  const told = env[name] ?? "1";
  const per_node = told.split(",").flatMap((part) => {
    const [, tasks, nodes = "1"] = /^(\d+)(?:\(x(\d+)\))?$/.exec(part) ?? [];
    if (tasks === undefined) throw wrong(`${name} is ${JSON.stringify(told)}, not a list such as 4(x2),1`);
    return Array.from({ length: Number(nodes) }, () => Number(tasks));
  });
  return per_node[Number(env["SLURM_NODEID"] ?? 0)] ?? 1;
}

/** A process that srun started; the batch script itself is none. */
const inSlurmStep = (env: Environment): boolean =>
  env["SLURM_STEP_ID"] !== undefined && env["SLURM_PROCID"] !== undefined && env["SLURM_STEP_NUM_TASKS"] !== undefined;

function text(env: Environment, name: string): string {
  const value = env[name];
  if (value === undefined || value === "") throw wrong(`${name} is not set`);
  return value;
}

function whole(env: Environment, name: string, min: number, max = 1_000_000): number {
  const given = text(env, name);
  const value = Number(given);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw wrong(`${name} is ${JSON.stringify(given)}, not a whole number from ${min} to ${max}`);
}

const wrong = (message: string): UserError =>
  new UserError(
    "RENDEZVOUS_FAILED",
    message,
    "Each process of a run needs RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. On one machine `--nproc N` sets them; " +
      "docs/distributed.md has torchrun, Slurm and Kubernetes.",
  );
