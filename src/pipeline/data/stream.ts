import type { Sample } from "../../batches/sample.js";
import { UserError } from "../../errors.js";
import { permutation } from "./permutation.js";

/** A dataset whose rows can be asked for in any order. */
export interface IndexedSamples {
  readonly length: number;
  get(index: number): Sample | Promise<Sample>;
}

export type SampleSource = IndexedSamples | Iterable<Sample> | AsyncIterable<Sample>;

/** `prompt_id` is the sample's position in the run's stream, epoch after epoch. */
export interface StreamedSample {
  readonly prompt_id: number;
  readonly sample: Sample;
}

/** Where a stream stands; JSON. */
export interface StreamCursor {
  /** Samples handed out since the run began. */
  readonly drawn: number;
}

/**
 * The samples of a run, one after another. A dataset with `length` and `get` never ends: every epoch is a permutation
 * keyed by (seed, epoch), and what is left of an epoch opens the next step. An iterable is taken in its own order, once.
 * A stream opened at the cursor of another goes on exactly where that one stood.
 */
export class PromptStream implements AsyncDisposable {
  readonly #draw: (position: number) => Promise<Sample | undefined>;
  readonly #close: () => Promise<void>;
  /** Whether samples can be asked for before they are drawn. */
  readonly #looks_ahead: boolean;
  /** By position: read already, and not handed out yet. */
  readonly #ahead = new Map<number, Sample>();
  #drawn: number;

  constructor(source: SampleSource, options: { readonly seed: number; readonly cursor?: StreamCursor | undefined }) {
    this.#drawn = options.cursor?.drawn ?? 0;
    if (!Number.isSafeInteger(this.#drawn) || this.#drawn < 0)
      throw new UserError(
        "CHECKPOINT_INVALID",
        `cursor.json: the data stream cannot go on from ${JSON.stringify(options.cursor)}`,
        "Delete that checkpoint's folder to go on from the one before it.",
      );
    this.#looks_ahead = isIndexed(source);
    [this.#draw, this.#close] = isIndexed(source)
      ? [shuffled(source, options.seed), async () => {}]
      : inOrder(source, this.#drawn);
  }

  get cursor(): StreamCursor {
    return { drawn: this.#drawn };
  }

  /** The next `count` samples; fewer, or none, only where an iterable has ended. */
  async next(count: number): Promise<readonly StreamedSample[]> {
    const samples: StreamedSample[] = [];
    while (samples.length < count) {
      const sample = this.#ahead.get(this.#drawn) ?? (await this.#draw(this.#drawn));
      if (sample === undefined) break;
      checkSample(sample, this.#drawn);
      this.#ahead.delete(this.#drawn);
      samples.push({ prompt_id: this.#drawn++, sample });
    }
    return samples;
  }

  /**
   * The samples that come next, read ahead and kept until `next` hands them out; it hands out the same. None where the source
   * can only be gone through. One that cannot be read ends them: `next` will say why, in its time.
   */
  async upcoming(count: number): Promise<readonly StreamedSample[]> {
    const samples: StreamedSample[] = [];
    const begin = this.#drawn;
    if (!this.#looks_ahead) return samples;
    for (let position = begin; position < begin + count; ++position) {
      const sample = this.#ahead.get(position) ?? (await this.#draw(position).catch(() => undefined));
      if (sample === undefined) break;
      if (position >= this.#drawn) this.#ahead.set(position, sample);
      samples.push({ prompt_id: position, sample });
    }
    return samples;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }
}

function isIndexed(source: SampleSource): source is IndexedSamples {
  return "get" in source && typeof source.get === "function" && "length" in source;
}

function shuffled(source: IndexedSamples, seed: number): (position: number) => Promise<Sample> {
  const { length } = source;
  if (length === 0)
    throw new UserError("DATASET_INVALID", "the dataset has no samples", "Give a dataset with at least one row.");
  let epoch = -1;
  let order = new Uint32Array();
  return async (position) => {
    const wanted = Math.floor(position / length);
    if (wanted !== epoch) order = permutation(length, seed, wanted);
    epoch = wanted;
    const index = order[position % length]!;
    const sample = (await source.get(index)) as Sample | undefined;
    if (sample === undefined) throw badSample(`get(${index}) of a dataset of ${length} samples returned nothing`);
    return sample;
  };
}

function inOrder(
  source: Iterable<Sample> | AsyncIterable<Sample>,
  skip: number,
): [draw: () => Promise<Sample | undefined>, close: () => Promise<void>] {
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  let [skipped, ended] = [0, false];
  const draw = async () => {
    for (; !ended; ++skipped) {
      const result = await iterator.next();
      if (result.done === true) ended = true;
      else if (skipped >= skip) return result.value;
    }
    return undefined;
  };
  const close = async () => {
    if (!ended) await iterator.return?.();
    ended = true;
  };
  return [draw, close];
}

const badSample = (message: string): UserError =>
  new UserError(
    "DATASET_INVALID",
    message,
    "A sample is { id, question, answer, images } with text, and images a list of { path } or { bytes }; [] for none.",
  );

/** A program's samples come from JavaScript as well, where no type has been checked. */
function checkSample(sample: unknown, position: number): void {
  const which = `sample ${position} of the run (from 0)`;
  if (typeof sample !== "object" || sample === null) throw badSample(`${which} is ${String(sample)}, not an object`);
  const fields = sample as Readonly<Record<string, unknown>>;
  const id = typeof fields["id"] === "string" ? `, id ${JSON.stringify(fields["id"])},` : "";
  for (const key of ["id", "question", "answer"])
    if (typeof fields[key] !== "string") throw badSample(`${which}${id} has no ${key} that is text`);
  const { images, history = [], system_prompt = "" } = fields;
  if (typeof system_prompt !== "string") throw badSample(`${which}${id} has a system_prompt that is not text`);
  if (!Array.isArray(history) || !history.every(isTurn))
    throw badSample(`${which}${id} has a history that is not a list of { role: "user" or "assistant", content }`);
  if (!Array.isArray(images)) throw badSample(`${which}${id} has no list of images`);
  if (!images.every(isImageSource))
    throw badSample(`${which}${id} has an image that is neither { path } nor { bytes }`);
}

const isTurn = (turn: unknown): boolean =>
  typeof turn === "object" &&
  turn !== null &&
  "role" in turn &&
  (turn.role === "user" || turn.role === "assistant") &&
  "content" in turn &&
  typeof turn.content === "string";

const isImageSource = (source: unknown): boolean =>
  typeof source === "object" &&
  source !== null &&
  (("path" in source && typeof source.path === "string") || ("bytes" in source && source.bytes instanceof Uint8Array));
