import { createHash } from "node:crypto";
import { deserialize, serialize } from "node:v8";
import { connectRanks, type NativeRanks, type Rendezvous } from "../engine/native-ranks.js";
import { UserError } from "../errors.js";
import { type Failure, fromFailure, toFailure } from "./failure.js";
import { type Liveness, watchRanks } from "./liveness.js";
import type { Outcome, Ranks } from "./ranks.js";

export interface ConnectOptions extends Rendezvous {
  readonly local_world_size: number;
  /** Seconds of silence after which a rank counts as lost. */
  readonly liveness_timeout_s: number;
  /** What must be the same on every rank, by name. */
  readonly same: Readonly<Record<string, string>>;
  /** Hears that another rank is lost or has failed: the run cannot go on, and whatever waits for that rank waits in vain. */
  readonly onLost: (error: UserError) => void;
}

export interface ConnectedRanks extends Ranks, AsyncDisposable {
  /** Says goodbye; with an error, the other ranks end with it. */
  leave(error?: unknown): Promise<void>;
}

/** Meets the other ranks. @throws UserError RENDEZVOUS_FAILED naming who is missing, or what differs between whom */
export async function connect(options: ConnectOptions): Promise<ConnectedRanks> {
  const native = await connectRanks(options);
  let liveness: Liveness | undefined;
  try {
    const stop = new AbortController();
    const onStop = (): void => stop.abort(new DOMException("another rank was told to stop", "AbortError"));
    liveness = await watchRanks({ ...options, local_address: native.local_address, onStop });
    const cards = await tell(native, { ...options.same, host: native.local_address, port: liveness.port });
    checkSame(cards);
    liveness.begin(cards.map(({ host, port }) => ({ host: String(host), port: Number(port) })));
    return ranksOver(native, liveness, { signal: stop.signal, onStop }, options);
  } catch (error) {
    await liveness?.end(error);
    await native.close();
    throw error;
  }
}

const tell = async <T>(native: NativeRanks, value: T): Promise<readonly T[]> =>
  (await native.exchange(serialize(value))).map((bytes) => deserialize(bytes) as T);

/** What each rank tells of itself. */
const own_names = new Set(["host", "port"]);

/** Every rank sees the same cards and comes to the same verdict. */
function checkSame(cards: readonly Readonly<Record<string, unknown>>[]): void {
  const names = new Set(cards.flatMap((card) => Object.keys(card)));
  for (const name of names)
    cards.forEach((card, rank) => {
      const [first] = cards;
      if (own_names.has(name) || card[name] === first![name]) return;
      const shown = (value: unknown): string => (String(value).length > 40 ? digest(String(value)) : String(value));
      throw new UserError(
        "RENDEZVOUS_FAILED",
        `rank ${rank} has another ${name} than rank 0: ${shown(card[name])}, not ${shown(first![name])}`,
        "Start every rank with the same files, options and versions.",
      );
    });
}

const digest = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 12);

type Told<T> = { readonly value: T } | { readonly failure: Failure } | { readonly stopped: true };

function ranksOver(
  native: NativeRanks,
  liveness: Liveness,
  stop: { readonly signal: AbortSignal; readonly onStop: () => void },
  { rank, world_size, local_world_size }: ConnectOptions,
): ConnectedRanks {
  const watched = new Set<AbortSignal>();
  let waited_ms = 0;
  const isStop = (error: unknown): boolean =>
    (error instanceof DOMException && error.name === "AbortError") ||
    [...watched].some(({ aborted, reason }) => aborted && reason === error);
  const leave = async (error?: unknown): Promise<void> => {
    await liveness.end(error);
    if (error === undefined) await native.close();
  };
  return {
    rank,
    world_size,
    local_world_size,
    handle: native.handle,
    agree: async <T>(outcome: Outcome<T>) => {
      const asked = performance.now();
      const all = await tell(native, told(outcome, isStop));
      waited_ms += performance.now() - asked;
      if ("error" in outcome && !isStop(outcome.error)) throw outcome.error;
      all.forEach((one, from) => {
        if ("failure" in one) throw fromFailure(one.failure, `rank ${from}: ${one.failure.message}`, hint_of_bugs);
      });
      if (all.some((one) => "stopped" in one)) {
        stop.onStop();
        throw "error" in outcome ? outcome.error : (stop.signal.reason as Error);
      }
      return all.map((one) => (one as { readonly value: T }).value);
    },
    watch: (signal) => {
      watched.add(signal);
      if (signal.aborted) liveness.tellStop();
      else signal.addEventListener("abort", () => liveness.tellStop(), { once: true });
      return AbortSignal.any([signal, stop.signal]);
    },
    waitedSeconds: () => waited_ms / 1000,
    at: (phase, step) => liveness.at(phase, step),
    leave,
    [Symbol.asyncDispose]: () => leave(),
  };
}

function told<T>(outcome: Outcome<T>, isStop: (error: unknown) => boolean): Told<T> {
  if (!("error" in outcome)) return outcome;
  const { error } = outcome;
  if (isStop(error)) return { stopped: true };
  return { failure: toFailure(error) };
}

const hint_of_bugs = "This is a bug in sightloop: please report it with the lines above.";
