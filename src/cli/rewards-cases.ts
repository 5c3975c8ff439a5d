import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { Sample } from "../batches/sample.js";
import type { TrainConfig } from "../config/schema.js";
import type { Dataset } from "../datasets/dataset.js";
import { UserError } from "../errors.js";
import { buildPrompts } from "../pipeline/data/prompts.js";
import type { Processor } from "../pipeline/data/processor.js";
import { openInference } from "../pipeline/inference.js";
import { collect } from "../pipeline/rollout/collect.js";
import type { RewardInput } from "../rewards/reward.js";

/** One completion to grade, and what it is: "truth", "solution", "wrong", "empty", "given" or "sampled". */
export interface RewardCase {
  readonly kind: string;
  readonly input: RewardInput;
}

export interface CaseMaker {
  readonly config: TrainConfig;
  readonly dataset: Dataset;
  /** Absent: there is no model folder yet, and tokens are estimated from characters. */
  readonly processor: Processor | undefined;
}

/** The dataset's own answer, its worked solution, another row's answer, and nothing. */
export async function knownCases(maker: CaseMaker, rows: number): Promise<readonly RewardCase[]> {
  const samples = await firstRows(maker.dataset, rows);
  return samples.flatMap((sample): readonly RewardCase[] => {
    const { answer, solution } = sample;
    const other = samples.find((candidate) => candidate.answer.trim() !== answer.trim())?.answer ?? `${answer}7`;
    return [
      { kind: "truth", input: inputOf(maker, sample, answer) },
      ...(solution === undefined ? [] : [{ kind: "solution", input: inputOf(maker, sample, solution) }]),
      { kind: "wrong", input: inputOf(maker, sample, other) },
      { kind: "empty", input: inputOf(maker, sample, "") },
    ];
  });
}

export const firstRows = (dataset: Dataset, rows: number): Promise<readonly Sample[]> =>
  Promise.all(Array.from({ length: Math.min(rows, dataset.length) }, (_, i) => dataset.get(i)));

const lineSchema = z.strictObject({
  completion: z.string(),
  answer: z.string().optional(),
  /** A row's id in the training set. */
  id: z.union([z.string(), z.number()]).transform(String).optional(),
  finish_reason: z.enum(["stop", "length"]).optional(),
  token_count: z.int().nonnegative().optional(),
});

/** Lines of a JSONL file; one without `id` belongs to the row of its own number. */
export async function givenCases(maker: CaseMaker, file: string): Promise<readonly RewardCase[]> {
  const bad = (what: string, cause?: unknown): UserError =>
    new UserError("DATASET_INVALID", what, 'A line is {"completion": "...", "id": "..." or "answer": "..."}.', {
      cause,
    });
  const text = await readFile(file, "utf8").catch((cause: Error) => {
    throw new UserError("FILE_NOT_FOUND", `${file} cannot be read: ${cause.message}`, "Check --completions.", {
      cause,
    });
  });
  const lines = text
    .split("\n")
    .flatMap((line, i) => (line.trim() === "" ? [] : [{ line, place: `${file}:${i + 1}` }]));
  if (lines.length === 0) throw bad(`${file} holds no completion`);
  const parsed = lines.map(({ line, place }) => {
    const value = lineSchema.safeParse(
      orElse(
        () => JSON.parse(line) as unknown,
        (cause) => bad(`${place}: not JSON`, cause),
      ),
    );
    if (value.success) return { ...value.data, place };
    const [issue] = value.error.issues;
    throw bad(`${place}: ${[...(issue?.path ?? []), issue?.message].map(String).join(": ")}`);
  });
  const wanted = new Set(parsed.flatMap(({ id }) => id ?? []));
  const by_id = new Map<string, Sample>();
  for (let i = 0; i < maker.dataset.length && by_id.size < wanted.size; i++) {
    const sample = await maker.dataset.get(i);
    if (wanted.has(sample.id)) by_id.set(sample.id, sample);
  }
  const cases: RewardCase[] = [];
  for (const [i, { completion, answer, id, finish_reason, token_count, place }] of parsed.entries()) {
    const row = id === undefined ? (i < maker.dataset.length ? await maker.dataset.get(i) : undefined) : by_id.get(id);
    if (row === undefined) throw bad(`${place}: the training set has no row ${id ?? i + 1}`);
    const input = inputOf(maker, answer === undefined ? row : { ...row, answer }, completion);
    const given = { ...(finish_reason && { finish_reason }), ...(token_count !== undefined && { token_count }) };
    cases.push({ kind: "given", input: { ...input, ...given } });
  }
  return cases;
}

/** `per_row` completions of the config's model for each of the first rows, as training would sample them. */
export async function sampledCases(
  maker: CaseMaker,
  rows: number,
  per_row: number,
  signal: AbortSignal,
): Promise<readonly RewardCase[]> {
  const { config, dataset } = maker;
  const { sampling, seed, threads, deterministic, model, prompt } = config;
  const opened = { model_path: model.path, seed, threads, dtype: model.dtype, deterministic };
  await using inference = await openInference(opened, { signal });
  const { engine, processor } = inference;
  const samples = (await firstRows(dataset, rows)).map((sample, prompt_id) => ({ sample, prompt_id }));
  const prompting = { ...prompt, system_prompt: prompt.system_prompt ?? undefined, signal };
  const cases: RewardCase[] = [];
  const collecting = collect(engine, await buildPrompts(engine, processor, samples, prompting), {
    completions_per_prompt: per_row,
    sampling: { ...sampling, seed, step: 0, stream: false, stop_token_ids: processor.stop_token_ids },
    decode: (ids) => processor.decode(ids, { skip_special_tokens: true }),
    grade: async (prompt_id, completion, { finish_reason, token_ids }) => {
      const input = inputOf(maker, samples[prompt_id]!.sample, completion);
      const token_count = token_ids.length;
      cases[cases.length] = {
        kind: "sampled",
        input: { ...input, token_count, finish_reason: finish_reason ?? "length" },
      };
      return { reward: 0, breakdown: {} };
    },
    signal,
  });
  for await (const _ of collecting);
  const order = new Map(samples.map(({ sample }, i) => [sample.id, i]));
  return cases.sort((a, b) => order.get(a.input.sample.id)! - order.get(b.input.sample.id)!);
}

function inputOf({ config, processor }: CaseMaker, sample: Sample, completion: string): RewardInput {
  const { question, images, answer } = sample;
  const system_prompt = config.prompt.system_prompt ?? undefined;
  return {
    ...{ completion, answer, sample },
    prompt: processor?.renderPrompt({ question, num_images: images.length }, { system_prompt }) ?? question,
    finish_reason: "stop",
    token_count: 1 + (processor?.encode(completion).length ?? Math.ceil(completion.length / 4)),
    max_completion_tokens: config.sampling.max_completion_tokens,
  };
}

function orElse<T>(run: () => T, failure: (cause: unknown) => Error): T {
  try {
    return run();
  } catch (cause) {
    throw failure(cause);
  }
}
