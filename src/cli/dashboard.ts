import { randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { isLoopback, openDashboard } from "../dashboard/server.js";
import { UserError } from "../errors.js";
import { numberCheck } from "./numbers.js";

export interface DashboardArguments {
  readonly folders: readonly string[];
  readonly port: number;
  readonly host: string;
  readonly "allow-host": readonly string[];
}

/** `sightloop dashboard`: serves until it is stopped. */
export async function dashboard(args: DashboardArguments): Promise<void> {
  const { folders, port, host } = args;
  const isPort = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= 65535;
  numberCheck("dashboard", args)("port", "a whole number from 0 to 65535", isPort);
  for (const folder of folders)
    if (
      !(await stat(folder).then(
        (status) => status.isDirectory(),
        () => false,
      ))
    )
      throw new UserError(
        "FILE_NOT_FOUND",
        `${folder} is no folder`,
        "Name run folders, or a folder that runs are in.",
      );
  const token = isLoopback(host) ? null : randomBytes(24).toString("base64url");
  const stopped = new Promise<void>((resolve) => process.once("SIGINT", resolve).once("SIGTERM", resolve));
  await using server = await openDashboard({ folders, host, port, token, allowed_hosts: args["allow-host"] });
  console.log(`${server.url}   (Ctrl-C stops it)`);
  await stopped;
}
