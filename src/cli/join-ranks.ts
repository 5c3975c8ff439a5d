import { numerics } from "../engine/numerics.js";
import type { UserError } from "../errors.js";
import { placeFrom } from "../launch/environment.js";
import { stopWithParent } from "../launch/supervise.js";
import { flatten } from "../reports/config-file.js";
import { packageVersion } from "../reports/manifest.js";
import { connect, type ConnectedRanks } from "../ranks/connect.js";
import type { DistributedArguments } from "./distributed-options.js";
import { fail } from "./fail.js";

/** Meets the other ranks, where the environment says that there are any. */
export async function joinRanks(args: DistributedArguments, config: object): Promise<ConnectedRanks | undefined> {
  const place = placeFrom(process.env);
  if (place === undefined) return undefined;
  stopWithParent();
  const compared = { ...config, run_folder: null };
  return connect({
    ...place,
    rendezvous_timeout_s: args["rendezvous-timeout"],
    collective_timeout_s: args["collective-timeout"],
    liveness_timeout_s: args["liveness-timeout"],
    same: {
      "version of sightloop": await packageVersion(),
      "version of libtorch": numerics(0).libtorch,
      "version of Node": process.versions.node.split(".")[0]!,
      ...Object.fromEntries([...flatten(compared)].map(([path, value]) => [`value of ${path}`, JSON.stringify(value)])),
    },
    onLost: leaveAtOnce,
  });
}

/** Whatever waits for the lost rank waits in vain. */
function leaveAtOnce(error: UserError): void {
  fail(error);
  process.exit();
}
