import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { UserError } from "../errors.js";
import { verifyCheckpoint } from "../reports/checkpoint-files.js";
import { latestCheckpoint } from "../reports/checkpoints.js";
import { namesIn } from "../reports/files.js";
import { isHeld } from "../reports/lock.js";
import type { PlannedRun } from "./plan.js";

/** How an unfinished run is to be started. */
export interface Standing {
  readonly resume: boolean;
  /** Why it is not simply gone on with. */
  readonly note: string | undefined;
}

/** How long the process of a study that was killed may take to notice. */
const orphan_wait_ms = 60_000;
const poll_ms = 250;

/**
 * Looks at what an earlier start has left in a run's folder; what cannot be gone on with is removed.
 * @throws UserError RUN_FOLDER_IN_USE if a process still writes to it
 */
export async function standingOf({ kind }: Pick<PlannedRun, "kind">, folder: string): Promise<Standing> {
  const names = await namesIn(folder);
  if (names.length === 0) return { resume: false, note: undefined };
  const is_training = kind === "sft" || kind === "train";
  if (is_training) await untilFree(folder);
  const fault = is_training ? await faultOf(folder) : "it is begun anew";
  if (fault === undefined) return { resume: true, note: undefined };
  await rm(folder, { recursive: true, force: true });
  return {
    resume: false,
    note: is_training ? `what an earlier start left is of no use (${fault}); made anew` : undefined,
  };
}

async function untilFree(folder: string): Promise<void> {
  const end = performance.now() + orphan_wait_ms;
  while (await isHeld(folder)) {
    if (performance.now() > end)
      throw new UserError(
        "RUN_FOLDER_IN_USE",
        `${folder} is in use by another process`,
        "End that process, then start the study again.",
      );
    await sleep(poll_ms);
  }
}

async function faultOf(folder: string): Promise<string | undefined> {
  try {
    const config: unknown = parse(await readFile(join(folder, "config.yaml"), "utf8"));
    if (typeof config !== "object" || config === null) return "config.yaml is damaged";
    const checkpoint = await latestCheckpoint(join(folder, "checkpoints"));
    if (checkpoint !== undefined) await verifyCheckpoint(checkpoint.folder);
    return undefined;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return code === "ENOENT" ? "it has no config.yaml" : message.split("\n")[0]!;
  }
}

/** The folder of the model that a finished run has made. @throws UserError FILE_NOT_FOUND */
export async function modelOf({ kind, id }: Pick<PlannedRun, "kind" | "id">, folder: string): Promise<string> {
  if (kind === "init") return join(folder, "model");
  const checkpoint = await latestCheckpoint(join(folder, "checkpoints"));
  if (checkpoint !== undefined) return join(checkpoint.folder, "model");
  throw new UserError(
    "FILE_NOT_FOUND",
    `${folder} is listed as finished but holds no checkpoint`,
    `Add --redo ${id} to make it again.`,
  );
}

/** The dataset that a `sample` run has made. */
export const datasetOf = (folder: string): string => join(folder, "data", "data.jsonl");
