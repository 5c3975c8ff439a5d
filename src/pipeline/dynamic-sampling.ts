import { flatValues } from "../batches/columns.js";
import { type Pick, takeRows } from "../batches/take-rows.js";
import type { Drawn } from "./draw.js";
import type { Metrics, TrainEvent } from "./events.js";
import type { Progress } from "./loop.js";
import type { Collected } from "./rollout/collect.js";
import { takeCollected } from "./rollout/take-collected.js";

/** Prompts of one rollout, with their graded completions. */
export interface Round {
  readonly drawn: Drawn;
  readonly collected: Collected;
}

export interface DynamicSampling {
  readonly step: number;
  /** Wanted for the step. */
  readonly prompts_per_step: number;
  /** Sampled for the step at most, the first round's included. */
  readonly max_prompts: number;
  readonly draw: (count: number) => Promise<Drawn | undefined>;
  /** `unit` says what the completions are for, `before` how many the step has already. */
  readonly sample: (drawn: Drawn, unit: string, before: number) => AsyncGenerator<TrainEvent, Collected>;
}

const rarest = 0.25; // a round never draws more than 4 prompts for each one missing

/** A prompt's rows in its round. */
interface Group {
  readonly round: number;
  readonly prompt_row: number;
  readonly rows: readonly number[];
  readonly useful: boolean;
}

/**
 * Dynamic sampling, arXiv:2503.14476 section 3.2: prompts whose completions all got the same reward, which teach nothing,
 * are replaced by the next ones of the stream, round after round, until the step is full or `max_prompts` are sampled; what
 * is then missing is filled up with equal ones, so that the step keeps its size. Groups keep the stream's order. A round
 * begins when the one before is sampled and graded: what is drawn depends on rewards alone, never on time.
 */
export async function* replaceEqualGroups(
  first: Round,
  options: DynamicSampling,
): AsyncGenerator<TrainEvent, Round & { readonly metrics: Metrics }> {
  const { step, prompts_per_step, max_prompts } = options;
  const rounds = [first];
  const groups = [...groupsOf(first, 0)];
  const useful = (): number => groups.filter((group) => group.useful).length;
  let ended = false;
  while (useful() < prompts_per_step && groups.length < max_prompts) {
    const missing = prompts_per_step - useful();
    const expected = Math.ceil(missing / Math.max(rarest, useful() / groups.length));
    const drawn = await options.draw(Math.min(expected, prompts_per_step, max_prompts - groups.length));
    if (drawn === undefined) {
      ended = true;
      break;
    }
    const unit = `completions of round ${rounds.length + 1}: ${useful()} of ${prompts_per_step} prompts have unequal rewards`;
    const before = rounds.reduce((sum, { collected }) => sum + collected.completions.length, 0);
    rounds.push({ drawn, collected: yield* options.sample(drawn, unit, before) });
    groups.push(...groupsOf(rounds.at(-1)!, rounds.length - 1));
  }
  const filled = Math.max(0, prompts_per_step - useful());
  if (filled > 0)
    yield {
      type: "note",
      message:
        `step ${step}: only ${useful()} of ${groups.length} sampled prompts have unequal rewards` +
        `${ended ? ", and the data ended" : ""}; ${filled} of ${prompts_per_step} are filled up with prompts that teach nothing`,
    };
  const kept = choose(groups, prompts_per_step);
  const all_rewards = rounds.flatMap(({ collected }) => [...collected.rewards.reward]);
  return {
    ...merge(rounds, kept),
    metrics: {
      reward_mean_sampled: all_rewards.reduce((sum, reward) => sum + reward, 0) / all_rewards.length,
      prompts_sampled: groups.length,
      prompts_replaced: groups.filter((group) => !group.useful).length - filled,
      sampling_rounds: rounds.length,
    },
  };
}

/** Counts on from what the rounds before have sampled, so that a step's progress never falls. */
export async function* countedFrom<T>(before: number, work: AsyncGenerator<Progress, T>): AsyncGenerator<Progress, T> {
  try {
    for (;;) {
      const next = await work.next();
      if (next.done === true) return next.value;
      yield { done: before + next.value.done, total: before + next.value.total };
    }
  } finally {
    await work.return(undefined as never);
  }
}

function* groupsOf({ drawn, collected }: Round, round: number): Generator<Group> {
  const ids = flatValues<BigInt64Array>(collected.rollouts, "prompt_id");
  const rows = new Map<number, number[]>(drawn.samples.map(({ prompt_id }) => [prompt_id, []]));
  ids.forEach((id, row) => rows.get(Number(id))!.push(row));
  const { reward } = collected.rewards;
  let prompt_row = 0;
  for (const own of rows.values())
    yield { round, prompt_row: prompt_row++, rows: own, useful: own.some((row) => reward[row] !== reward[own[0]!]) };
}

/** The first useful groups, then the first of the others; in the order drawn. */
function choose(groups: readonly Group[], count: number): readonly Group[] {
  const best = [...groups.filter(({ useful }) => useful), ...groups.filter(({ useful }) => !useful)];
  const chosen = new Set(best.slice(0, count));
  return groups.filter((group) => chosen.has(group));
}

function merge(rounds: readonly Round[], groups: readonly Group[]): Round {
  const picks = groups.flatMap(({ round, rows }) => rows.map((row): Pick => ({ batch: round, row })));
  const collected = rounds.map((round) => round.collected);
  return {
    drawn: mergeDrawn(rounds, groups),
    collected: {
      ...takeCollected(collected, picks),
      grading_wait_seconds: collected.reduce((sum, { grading_wait_seconds }) => sum + grading_wait_seconds, 0),
    },
  };
}

function mergeDrawn(rounds: readonly Round[], groups: readonly Group[]): Drawn {
  const drawn = rounds.map((round) => round.drawn);
  const samples = groups.map(({ round, prompt_row }) => drawn[round]!.samples[prompt_row]!);
  const owner = new Map(groups.map(({ round }, i) => [samples[i]!.prompt_id, drawn[round]!]));
  const of = (prompt_id: number): Drawn => {
    const found = owner.get(prompt_id);
    if (found === undefined) throw new Error(`prompt ${prompt_id} is not of this step`);
    return found;
  };
  const images = new Map(drawn.flatMap((one) => one.images.map((image) => [image.id, image] as const)));
  return {
    prompts: takeRows(
      drawn.map(({ prompts }) => prompts),
      groups.map(({ round, prompt_row }) => ({ batch: round, row: prompt_row })),
    ),
    samples,
    rankOf: (prompt_id) => of(prompt_id).rankOf(prompt_id),
    stream_end: drawn.at(-1)!.stream_end,
    sample: (prompt_id) => of(prompt_id).sample(prompt_id),
    promptText: (prompt_id) => of(prompt_id).promptText(prompt_id),
    images: [...images.values()],
  };
}
