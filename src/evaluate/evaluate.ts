import type { Engine } from "../engine/engine.js";
import type { Processor } from "../pipeline/data/processor.js";
import type { IndexedSamples } from "../pipeline/data/stream.js";
import { openJudge } from "../rewards/grader.js";
import { alone, type Ranks, together, togetherAfter } from "../ranks/ranks.js";
import type { RewardConfig } from "../rewards/registry.js";
import type { RewardInput } from "../rewards/reward.js";
import { variants } from "./controls.js";
import { answerClasses } from "./majority.js";
import type { Control, Evaluation, EvaluationResult, EvaluationSample } from "./result.js";
import { byPrefix, isRight, type Measure, sampleChunk } from "./sample-chunk.js";
import { summary, visualGain } from "./summary.js";

/** How completions are sampled; temperature 0 is greedy. */
export interface EvaluationSetting {
  readonly name: string;
  readonly temperature: number;
  readonly top_k: number;
  readonly top_p: number;
  readonly completions_per_prompt: number;
  /** Text that every completion is made to begin with; graded with it. */
  readonly assistant_prefix: string;
}

export type IsCorrect = (input: RewardInput) => boolean | Promise<boolean>;

export interface EvaluateOptions {
  readonly engine: Engine;
  readonly processor: Processor;
  readonly samples: IndexedSamples;
  readonly settings: readonly EvaluationSetting[];
  /** Evaluated besides the items as they are; see docs/evaluation.md. */
  readonly controls?: readonly Exclude<Control, "none">[] | undefined;
  /** Items taken from the front; null takes all. */
  readonly max_items: number | null;
  readonly system_prompt: string | null;
  readonly max_prompt_tokens: number;
  readonly max_image_pixels?: number | undefined;
  readonly max_completion_tokens: number;
  readonly max_concurrent_completions: number;
  readonly kv_block_size: number;
  readonly seed: number;
  /** Whether a completion is right; absent: the `accuracy` reward, whatever rewards a run trains with. */
  readonly isCorrect?: IsCorrect | undefined;
  /** Share the items between them; each gets the whole result. Absent: this process alone. */
  readonly ranks?: Ranks | undefined;
  /** Recorded for each completion beside accuracy; they decide nothing. */
  readonly rewards?: readonly RewardConfig[] | undefined;
  readonly known_images?: Map<string, string> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Every setting over the same items in one pass: a prompt is computed once for all settings with its assistant_prefix. Prompt
 * ids are the items' positions, the step is 0 and samples count from 0 in each setting, so that two evaluations with one seed
 * draw the same random numbers whatever was trained between them, and whatever other settings stand beside.
 */
export async function* evaluate(
  options: EvaluateOptions,
): AsyncGenerator<{ readonly done: number; readonly total: number }, Evaluation> {
  const { samples, settings, controls = [], seed, signal, ranks = alone } = options;
  const { isCorrect } = options;
  await using grader = await openJudge(options.rewards);
  const measure: Measure = async (input) => {
    const { breakdown } = await grader.grade(input, signal);
    return isCorrect === undefined ? breakdown : { ...breakdown, accuracy: Number(await isCorrect(input)) };
  };
  const judged = { ...options, measure };
  const num_items = Math.min(samples.length, options.max_items ?? Infinity);
  const shown = await variants(samples, num_items, controls, seed);
  const shares = shown.map((variant) => ({
    ...variant,
    items: variant.items.filter((_, place) => place % ranks.world_size === ranks.rank),
  }));
  const found = inOrder(yield* togetherAfter(ranks, sampleItems(judged, shares)));

  const isSame = async (a: string, b: string): Promise<boolean> => {
    const sample = { id: "", question: "", answer: b, images: [] };
    const completion = `\\boxed{${a}}`;
    const length = { finish_reason: "stop", token_count: 0, max_completion_tokens: 0 } as const;
    const { breakdown } = await grader.grade({ completion, sample, prompt: "", answer: b, ...length }, signal);
    return isRight(breakdown);
  };
  const all: EvaluationSample[] = [];
  const results: EvaluationResult[] = [];
  // Each rank does it all, but an interrupt of one must not leave the others with an evaluation that it has not.
  await together(ranks, async () => {
    for (const { control } of shown)
      for (const { name: setting, completions_per_prompt: n } of settings) {
        const these = found.get(key(control, setting)) ?? [];
        const classes = await Promise.all(
          Array.from({ length: these.length / n }, (_, i) => answerClasses(these.slice(i * n, (i + 1) * n), isSame)),
        );
        results.push(summary({ setting, control, completions_per_prompt: n }, { samples: these, classes }, seed));
        for (const sample of these) all.push(sample);
      }
    signal?.throwIfAborted();
  });
  const visual_gain = controls.flatMap((control) =>
    settings.map(({ name: setting, completions_per_prompt }) =>
      visualGain(
        found.get(key("none", setting)) ?? [],
        found.get(key(control, setting)) ?? [],
        { setting, control, completions_per_prompt },
        seed,
      ),
    ),
  );
  return { results, visual_gain, samples: all };
}

type Found = Map<string, EvaluationSample[]>;
type Variant = Awaited<ReturnType<typeof variants>>[number];

/** All completions of these items, by control and setting. */
async function* sampleItems(
  options: EvaluateOptions & { readonly measure: Measure },
  shown: readonly Variant[],
): AsyncGenerator<{ readonly done: number; readonly total: number }, Found> {
  const { settings } = options;
  const per_item = settings.reduce((sum, setting) => sum + setting.completions_per_prompt, 0);
  const total = per_item * shown.reduce((sum, { items }) => sum + items.length, 0);
  const groups = byPrefix(settings);
  const widest = Math.max(...groups.map((group) => group.reduce((sum, one) => sum + one.completions_per_prompt, 0)));
  const at_once = Math.max(64, Math.ceil((4 * options.max_concurrent_completions) / widest));
  const found: Found = new Map();
  let before = 0;
  for (const { control, items, get } of shown)
    for (let start = 0; start < items.length; start += at_once) {
      const chunk = await Promise.all(
        items.slice(start, start + at_once).map(async (prompt_id) => ({ prompt_id, sample: await get(prompt_id) })),
      );
      for (const group of groups) {
        const sampling = sampleChunk(options, control, group, chunk);
        let next = await sampling.next();
        for (; next.done !== true; next = await sampling.next()) yield { done: before + next.value.done, total };
        before += next.value.length;
        for (const sample of next.value) push(found, key(control, sample.setting), sample);
      }
      await options.engine.pruneImages([]);
    }
  return found;
}

/** What all ranks found, in the order of items and samples. */
function inOrder(parts: readonly Found[]): Found {
  if (parts.length === 1) return parts[0]!;
  const names = new Set(parts.flatMap((part) => [...part.keys()]));
  const ordered = (name: string): EvaluationSample[] =>
    parts.flatMap((part) => part.get(name) ?? []).sort((a, b) => a.item - b.item || a.sample_index - b.sample_index);
  return new Map([...names].map((name) => [name, ordered(name)]));
}

const key = (control: Control, setting: string): string => `${control}/${setting}`;

function push<T>(lists: Map<string, T[]>, name: string, value: T): void {
  const list = lists.get(name);
  if (list === undefined) lists.set(name, [value]);
  else list.push(value);
}
