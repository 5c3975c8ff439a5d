import { openArrowFile } from "../reports/read/arrow-file.js";
import type { StepSamples } from "../reports/read/step-samples.js";
import type { SampleRow, SamplesResponse } from "./api.js";
import type { FollowedRun } from "./runs.js";

export const sample_orders = ["step", "-step", "reward", "-reward", "length", "-length"] as const;

/** Which samples to list; what is undefined does not matter. */
export interface SampleQuery {
  readonly correct?: boolean | undefined;
  readonly truncated?: boolean | undefined;
  readonly reflective?: boolean | undefined;
  readonly from_step?: number | undefined;
  readonly to_step?: number | undefined;
  /** In completion or answer, upper and lower case alike. */
  readonly text?: string | undefined;
  readonly order: (typeof sample_orders)[number];
}

interface Place {
  readonly samples: StepSamples;
  readonly row: number;
}

/** Lists samples page by page: which ones pass is worked out once, their texts are read for one page only. */
export interface SampleLists {
  list(followed: FollowedRun, query: SampleQuery, page: SamplePage): Promise<SamplesResponse>;
}

export interface SamplePage {
  readonly offset: number;
  readonly limit: number;
  /** A sample whose place in the list is asked for. */
  readonly at?: { readonly step: number; readonly row: number } | undefined;
}

const max_kept_lists = 4;

export function sampleLists(): SampleLists {
  const kept = new Map<string, Promise<readonly Place[]>>();
  return {
    list: async (followed, query, { offset, limit, at }) => {
      const { samples, samples_revision: revision } = followed;
      const key = JSON.stringify([followed.id, revision, query]);
      const places = kept.get(key) ?? matching(followed, query);
      kept.delete(key);
      kept.set(key, places); // the newest stands last
      for (const [oldest] of kept) if (kept.size > max_kept_lists) kept.delete(oldest);
      places.catch(() => kept.delete(key));
      const all = await places;
      const position = all.findIndex(({ samples: { step }, row }) => step === at?.step && row === at.row);
      return {
        position: position < 0 ? null : position,
        ...{ revision, offset, total: all.length, num_samples: samples.num_rows },
        first_step: samples.steps[0]?.step ?? 0,
        last_step: samples.steps.at(-1)?.step ?? 0,
        rows: await rowsOf(followed, all.slice(offset, offset + limit)),
      };
    },
  };
}

async function matching(followed: FollowedRun, query: SampleQuery): Promise<readonly Place[]> {
  const { correct, truncated, reflective, from_step = 0, to_step = Infinity, text, order } = query;
  const { samples: index } = followed;
  const places: Place[] = [];
  for (const samples of index.steps) {
    if (samples.step < from_step || samples.step > to_step) continue;
    if (correct !== undefined && samples.correct === null) continue;
    const reflection =
      reflective === undefined ? undefined : await index.reflective(samples.step).catch(() => undefined);
    if (reflective !== undefined && reflection === undefined) continue;
    const found = text === undefined ? undefined : await withText(index.fileOf(samples.step), text);
    for (let row = 0; row < samples.num_rows; row++) {
      if (correct !== undefined && (samples.correct![row] === 1) !== correct) continue;
      if (truncated !== undefined && (samples.truncated[row] === 1) !== truncated) continue;
      if (reflective !== undefined && (reflection![row] === 1) !== reflective) continue;
      if (found !== undefined && found[row] !== true) continue;
      places.push({ samples, row });
    }
  }
  return sorted(places, order);
}

function sorted(places: Place[], order: SampleQuery["order"]): readonly Place[] {
  if (order === "step") return places;
  const value = ({ samples, row }: Place): number => {
    if (order.endsWith("reward")) return samples.reward[row]!;
    return order.endsWith("length") ? samples.lengths[row]! : samples.step;
  };
  const sign = order.startsWith("-") ? -1 : 1;
  return places.sort((a, b) => sign * (value(a) - value(b))); // stable: equal ones stay in the order of the steps
}

/** For each row whether it holds the text; nothing of a file that cannot be read. */
async function withText(path: string, text: string): Promise<readonly boolean[]> {
  const wanted = text.toLowerCase();
  try {
    await using file = await openArrowFile(path);
    const of = async (name: string): Promise<readonly string[]> => (file.has(name) ? file.texts(name) : []);
    const [completions, answers] = [await of("completion"), await of("answer")];
    return completions.map((completion, row) => `${completion}\n${answers[row] ?? ""}`.toLowerCase().includes(wanted));
  } catch {
    return [];
  }
}

const max_preview_length = 300;

async function rowsOf({ samples: index }: FollowedRun, places: readonly Place[]): Promise<readonly SampleRow[]> {
  const texts = new Map<Place, Readonly<Record<string, string>>>();
  for (const [step, here] of grouped(places)) {
    const in_order = [...here].sort((a, b) => a.row - b.row);
    const rows = in_order.map(({ row }) => row);
    try {
      await using file = await openArrowFile(index.fileOf(step));
      const of = (name: string) => (file.has(name) ? file.texts(name, rows) : Promise.resolve([]));
      const [completions, answers] = await Promise.all([of("completion"), of("answer")]);
      in_order.forEach((place, i) => {
        const completion = (completions[i] ?? "").slice(0, max_preview_length);
        texts.set(place, { completion, answer: answers[i] ?? "" });
      });
    } catch {
      continue; // the file has gone or is damaged since: its rows stand without texts
    }
  }
  return places.map((place) => sampleRow(place.samples, place.row, texts.get(place) ?? {}));
}

function grouped(places: readonly Place[]): ReadonlyMap<number, readonly Place[]> {
  const groups = new Map<number, Place[]>();
  for (const place of places) {
    const here = groups.get(place.samples.step);
    if (here === undefined) groups.set(place.samples.step, [place]);
    else here.push(place);
  }
  return groups;
}

export function sampleRow(samples: StepSamples, row: number, texts: Readonly<Record<string, unknown>>): SampleRow {
  const text = (name: string): string => (typeof texts[name] === "string" ? texts[name] : "");
  return {
    ...{ step: samples.step, row, reward: samples.reward[row]!, length: samples.lengths[row]! },
    is_correct: samples.correct === null ? null : samples.correct[row] === 1,
    is_truncated: samples.truncated[row] === 1,
    ...{ completion: text("completion"), answer: text("answer") },
  };
}
