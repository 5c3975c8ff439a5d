import type { Cell } from "../reports/read/arrow-cells.js";
import { openArrowFile } from "../reports/read/arrow-file.js";
import { findReflection } from "../reports/reflection.js";
import type { SampleDetails, TokenDetails, TokenValue } from "./api.js";
import type { FollowedRun } from "./runs.js";
import { sampleRow } from "./samples.js";
import type { TokenTexts } from "./token-texts.js";

/** Everything that is known of one sample; undefined if there is none at this place. */
export async function sampleDetails(
  { samples: index }: FollowedRun,
  step: number,
  row: number,
  textsOf: TokenTexts | undefined,
): Promise<SampleDetails | undefined> {
  const samples = index.steps.find((one) => one.step === step);
  if (samples === undefined || row >= samples.num_rows) return undefined;
  await using file = await openArrowFile(index.fileOf(step));
  const cells = await file.row(row);
  const text = (name: string): string => (typeof cells[name] === "string" ? cells[name] : "");
  const prompt_id = samples.prompt_ids[row]!;
  const group = Array.from(samples.prompt_ids.keys()).filter((other) => samples.prompt_ids[other] === prompt_id);
  return {
    ...sampleRow(samples, row, cells),
    ...{ prompt: text("prompt"), sample_id: text("sample_id"), finish_reason: text("finish_reason"), prompt_id },
    sample_index: samples.sample_indices[row]!,
    policy_version: Number(cells["policy_version"] ?? 0),
    reward_breakdown: numbersOf(cells["reward_breakdown"]),
    image_ids: listOf(cells["image_ids"]).map(String),
    tokens: tokenDetails(cells, textsOf),
    group: group.map((other) => ({
      ...{ row: other, reward: samples.reward[other]! },
      is_correct: samples.correct === null ? null : samples.correct[other] === 1,
    })),
  };
}

function tokenDetails(cells: Readonly<Record<string, Cell>>, textsOf: TokenTexts | undefined): TokenDetails {
  const mask = listOf(cells["completion_mask"]);
  const sampled = <T>(items: readonly T[]): T[] => items.filter((_, i) => mask[i] === true);
  const column = (name: string): number[] | undefined =>
    cells[name] === undefined ? undefined : sampled(listOf(cells[name])).map(Number);
  const [rollout, policy, reference] = ["rollout_logprobs", "policy_logprobs", "reference_logprobs"].map(column);
  const advantages = column("advantages");
  const values: Partial<Record<TokenValue, readonly number[]>> = {
    ...(rollout !== undefined && { logprob: rollout.map(short) }),
    ...(advantages !== undefined && { advantage: advantages.map(short) }),
    ...(rollout !== undefined &&
      policy !== undefined && { ratio: policy.map((value, i) => short(Math.exp(value - rollout[i]!))) }),
    ...(policy !== undefined &&
      reference !== undefined && { reference: policy.map((value, i) => short(value - reference[i]!)) }),
  };
  const ids = column("token_ids") ?? [];
  const texts = textsOf?.(ids) ?? null;
  return { ids, texts, values, reflection: texts === null ? ids.map(() => -1) : wordOfToken(texts) };
}

/** Which reflection word each token overlaps. */
function wordOfToken(texts: readonly string[]): readonly number[] {
  const hits = findReflection(texts.join(""), "word");
  let at = 0;
  return texts.map((text) => {
    const [start, end] = [at, (at += text.length)];
    return hits.findIndex((hit) => hit.start < end && hit.end > start);
  });
}

const short = (value: number): number => Number(value.toPrecision(5));

const listOf = (cell: Cell | undefined): readonly unknown[] =>
  Array.isArray(cell) || ArrayBuffer.isView(cell) ? Array.from(cell as ArrayLike<unknown>) : [];

const numbersOf = (cell: Cell | undefined): Readonly<Record<string, number>> =>
  typeof cell !== "object" || Array.isArray(cell) || ArrayBuffer.isView(cell)
    ? {}
    : Object.fromEntries(Object.entries(cell).map(([name, value]) => [name, Number(value)]));
