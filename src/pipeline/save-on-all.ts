import { onFirst, type Ranks } from "../ranks/ranks.js";

/** What rank 0 says to the others while it writes a checkpoint. */
interface Word {
  /** To write into now; absent: there is nothing to write any more. */
  readonly folder?: string;
  readonly result?: string | null;
}

/**
 * Writes a checkpoint that holds a share of every rank. Rank 0 makes the folder and puts it in its place once all have written.
 * @param write makes the checkpoint, with `fill` to fill its folder; called on rank 0 alone
 * @param save writes this rank's share into the folder
 */
export async function saveOnAll(
  ranks: Ranks,
  write: (fill: (folder: string) => Promise<void>) => Promise<string | null>,
  save: (folder: string) => Promise<void>,
): Promise<string | null> {
  if (ranks.world_size === 1) return write(save);
  if (ranks.rank > 0) {
    const [word] = await ranks.agree<Word>({ value: {} });
    const { folder, result = null } = word!;
    if (folder === undefined) return result;
    await ranks.agree({ value: await failureOf(() => save(folder)) });
    return onFirst(ranks, async () => null); // what rank 0 came to
  }
  let is_told = false;
  const result = async (): Promise<string | null> =>
    write(async (folder) => {
      await ranks.agree<Word>({ value: { folder } });
      is_told = true;
      const failures = await ranks.agree({ value: await failureOf(() => save(folder)) });
      failures.forEach((failure, rank) => {
        if (failure !== null) throw new Error(`rank ${rank} could not write its share of the checkpoint: ${failure}`);
      });
    });
  try {
    const path = await result();
    return is_told
      ? await onFirst(ranks, async () => path)
      : (await ranks.agree<Word>({ value: { result: path } }), path);
  } catch (error) {
    if (is_told) return onFirst(ranks, () => Promise.reject(error as Error));
    await ranks.agree({ error });
    throw error;
  }
}

async function failureOf(work: () => Promise<void>): Promise<string | null> {
  try {
    await work();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
