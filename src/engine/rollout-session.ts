import { strings } from "../batches/columns.js";
import type { PromptBatch } from "../batches/prompt.js";
import type { RolloutBatch } from "../batches/rollout.js";
import type { Addon, NativeCompletion, SessionHandle, StopSource } from "./addon.js";
import { promptColumns, rolloutBatch } from "./columns.js";
import type { Completion, RolloutSession, RolloutTimings } from "./engine.js";

/** What a session needs from its engine. */
export interface SessionHost {
  readonly addon: Addon;
  /** Runs a native call; failures become UserErrors or the signal's reason. */
  call<T>(run: (stop: StopSource | null) => Promise<T>): Promise<T>;
}

/**
 * Asks for the next completions before the caller has dealt with the last ones, so that grading overlaps sampling.
 * What the caller does, and when, never changes what is sampled, as long as all prompts are added before iterating.
 */
export class NativeRolloutSession implements RolloutSession {
  readonly #host: SessionHost;
  readonly #opened: Promise<SessionHandle>;
  readonly #sampleIds = new Map<bigint, string>();
  #closed: Promise<void> | undefined;
  timings: RolloutTimings | undefined;
  sampling_margin_min: number | undefined;

  constructor(host: SessionHost, opened: Promise<SessionHandle>) {
    this.#host = host;
    this.#opened = opened;
    opened.catch(() => undefined); // reported by whichever method is awaited first
  }

  async add(prompts: PromptBatch, completions_per_prompt: number): Promise<void> {
    const columns = promptColumns(prompts);
    strings(prompts, "sample_id").forEach((id, i) => this.#sampleIds.set(columns.prompt_id[i]!, id));
    const session = await this.#opened;
    await this.#host.call(() => this.#host.addon.rolloutAdd(session, columns, completions_per_prompt));
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Completion> {
    let next = this.#advance();
    for (;;) {
      const finished = await next;
      if (finished.length === 0) return;
      next = this.#advance();
      next.catch(() => undefined); // awaited on the next turn, unless the caller leaves early
      yield* finished;
    }
  }

  async finish(): Promise<RolloutBatch> {
    while ((await this.#advance()).length > 0);
    const session = await this.#opened;
    const columns = await this.#host.call(() => this.#host.addon.rolloutCollect(session));
    this.timings = columns.timings;
    this.sampling_margin_min = columns.sampling_margin_min;
    await this[Symbol.asyncDispose]();
    return rolloutBatch(
      columns,
      Array.from(columns.prompt_id, (id) => this.#sampleIds.get(id) ?? ""),
    );
  }

  async #advance(): Promise<NativeCompletion[]> {
    const session = await this.#opened;
    return this.#host.call((stop) => this.#host.addon.rolloutAdvance(session, stop));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#opened.then(
      (session) => this.#host.addon.rolloutClose(session),
      () => undefined,
    );
    return this.#closed;
  }
}
