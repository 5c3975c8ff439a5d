import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.js";
import { truncateAlarms } from "./alarms-file.js";
import { type Checkpoint, latestCheckpoint, removeAfter } from "./checkpoints.js";
import { differingKeys } from "./config-file.js";
import { removeEvaluationsAfter } from "./evaluation-files.js";
import { truncateMetrics } from "./metrics-file.js";
import { rolloutFilesAfter } from "./rollout-files.js";

async function differingFrom(file: string, config: object): Promise<readonly string[]> {
  try {
    return differingKeys(await readFile(file, "utf8"), config);
  } catch (cause) {
    throw new UserError(
      "CONFIG_INVALID",
      `${file} cannot be read: ${(cause as Error).message}`,
      "Write the run's config there again (the one it was started with), or start a new run_folder.",
      { cause },
    );
  }
}

/** Back to the latest checkpoint, or to the start if there is none. */
export async function rewind({
  folder,
  config,
}: {
  readonly folder: string;
  readonly config: object;
}): Promise<Checkpoint | undefined> {
  const differing = await differingFrom(join(folder, "config.yaml"), config);
  if (differing.length > 0)
    throw new UserError(
      "CONFIG_INVALID",
      `the run in ${folder} was started with another config:\n${differing.map((line) => `  ${line}`).join("\n")}`,
      "Resume with the old values (they are in its config.yaml), or start a new run_folder.",
    );
  const checkpoints = join(folder, "checkpoints");
  const checkpoint = await latestCheckpoint(checkpoints);
  const step = checkpoint?.cursor.step ?? 0;
  await removeAfter(checkpoints, checkpoint === undefined ? -1 : step);
  await truncateMetrics(join(folder, "metrics.jsonl"), step, checkpoint?.cursor.evaluated ?? false);
  await removeEvaluationsAfter(join(folder, "evaluations"), step, !(checkpoint?.cursor.evaluated ?? false));
  await truncateAlarms(join(folder, "alarms.jsonl"), step);
  const rollouts = join(folder, "rollouts");
  for (const name of await rolloutFilesAfter(rollouts, step)) await rm(join(rollouts, name), { force: true });
  return checkpoint;
}
