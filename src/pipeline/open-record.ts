import type { SftConfig, TrainConfig } from "../config/schema.js";
import { numerics } from "../engine/numerics.js";
import { UserError } from "../errors.js";
import { onFirst, type Ranks } from "../ranks/ranks.js";
import { manifest } from "../reports/manifest.js";
import { followRun, noRecord, openRunFolder, type RunRecord } from "../reports/run-folder.js";

/** A rank without a prompt has nothing to do. @throws UserError CONFIG_INVALID */
export function checkShares({ prompts_per_step }: TrainConfig | SftConfig, { world_size }: Ranks): void {
  if (prompts_per_step >= world_size) return;
  throw new UserError(
    "CONFIG_INVALID",
    `prompts_per_step is ${prompts_per_step}, with ${world_size} ranks some would have no prompt`,
    "Raise prompts_per_step, or start fewer processes.",
  );
}

/** Rank 0 keeps the run folder; the others go on from what it found there. */
export async function openRecord(
  ranks: Ranks,
  config: TrainConfig | SftConfig,
  resume: boolean,
  num_items: number | undefined,
): Promise<RunRecord> {
  const { run_folder } = config;
  if (run_folder === null) return noRecord;
  let record: RunRecord | undefined;
  const found = await onFirst(ranks, async () => {
    record = await openFirst(ranks, run_folder, config, resume, num_items);
    return { folder: run_folder, resumed: record.resumed, history: await record.history(), notes: record.notes };
  });
  return record ?? followRun(found);
}

const openFirst = async (
  { world_size, local_world_size }: Ranks,
  folder: string,
  config: TrainConfig | SftConfig,
  resume: boolean,
  num_items: number | undefined,
): Promise<RunRecord> =>
  openRunFolder({
    folder,
    config,
    manifest: await manifest(config.seed, {
      training_samples: num_items ?? null,
      numerics: { ...numerics(config.threads, config.device, local_world_size), ranks: world_size },
    }),
    resume,
    keep: { last: config.checkpoint.keep_last, best: config.checkpoint.keep_best },
  });
