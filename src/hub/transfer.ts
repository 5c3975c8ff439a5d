import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import type { HubFile } from "./listing.js";
import { failed, type Hub, patience, reasonOf, request } from "./request.js";

export interface Transfer {
  readonly file: HubFile;
  readonly url: string;
  /** Where the file ends up; until it is whole and checked it stands beside it as `.part`. */
  readonly target: string;
  readonly what: string;
  /** Hears of bytes added (and taken back, negative). */
  readonly on_bytes: (count: number) => void;
}

/** Without a byte for so long, a connection is taken for dead. */
const silent_ms = 60_000;
const max_mismatches = 2;

/**
 * Downloads one file, going on where an earlier attempt stopped, and checks it before it gets its name.
 * @throws UserError DOWNLOAD_FAILED; what has arrived is kept unless its checksum is wrong
 */
export async function transfer(hub: Hub, { file, url, target, what, on_bytes }: Transfer): Promise<void> {
  const part = `${target}.part`;
  const tries = patience(hub.options);
  for (let mismatches = 0; ;) {
    const state = await resumeState(part, file);
    on_bytes(state.done);
    try {
      await receive(hub, { file, url, what, on_bytes }, part, state);
    } catch (error) {
      if (!isOfNetwork(error) && !hub.options.signal?.aborted) throw error;
      hub.options.signal?.throwIfAborted();
      if (state.received > 0) tries.reset();
      on_bytes(-state.done);
      if (await tries.wait()) continue;
      throw failed(
        `${what}: the connection keeps breaking (${reasonOf(error)})`,
        "Try again: what has arrived is kept.",
        error,
      );
    }
    if (state.hash.digest("hex") === file.oid) {
      await rename(part, target);
      return;
    }
    await rm(part, { force: true });
    on_bytes(-state.done);
    mismatches += 1;
    if (mismatches === max_mismatches)
      throw failed(
        `${what}: its checksum is wrong, ${mismatches} times in a row`,
        "The hub or a proxy on the way to it delivers other bytes. Try again later, or over another network.",
      );
  }
}

interface State {
  hash: Hash;
  /** Bytes in the part file, all of them in `hash`. */
  done: number;
  /** Of them, those of this attempt. */
  received: number;
}

function newHash({ checksum, size }: HubFile): Hash {
  if (checksum === "sha256") return createHash("sha256");
  return createHash("sha1").update(`blob ${size}\0`); // as git names its blobs
}

async function resumeState(part: string, file: HubFile): Promise<State> {
  const found = await stat(part).catch(() => undefined);
  if (found === undefined || found.size > file.size) {
    await rm(part, { force: true });
    return { hash: newHash(file), done: 0, received: 0 };
  }
  const hash = newHash(file);
  for await (const chunk of createReadStream(part) as AsyncIterable<Buffer>) hash.update(chunk);
  return { hash, done: found.size, received: 0 };
}

async function receive(
  hub: Hub,
  { file, url, what, on_bytes }: Omit<Transfer, "target">,
  part: string,
  state: State,
): Promise<void> {
  await using out = await open(part, "a");
  if (state.done === file.size) return;
  const restart = async (): Promise<void> => {
    on_bytes(-state.done);
    await out.truncate(0);
    Object.assign(state, { hash: newHash(file), done: 0 });
  };
  const silence = new AbortController();
  const signals = [silence.signal, ...(hub.options.signal === undefined ? [] : [hub.options.signal])];
  const watched = { ...hub, options: { ...hub.options, signal: AbortSignal.any(signals) } };
  const headers: Record<string, string> = state.done > 0 ? { range: `bytes=${state.done}-` } : {};
  const response = await request(watched, url, { what, headers });
  if (response.status === 416) {
    await response.body?.cancel();
    await restart();
    throw new NetworkError("the hub has no such range");
  }
  const from = response.status === 206 ? rangeStart(response) : 0;
  if (from !== state.done) {
    if (from !== 0) {
      await response.body?.cancel();
      throw new NetworkError(`bytes from ${state.done} on were asked for, those from ${from} came`);
    }
    await restart();
  }
  await pour(response, out, state, { file, on_bytes, silence });
  if (state.done < file.size) throw new NetworkError(`it ended after ${state.done} of ${file.size} bytes`);
  await out.sync();
}

async function pour(
  response: Response,
  out: FileHandle,
  state: State,
  { file, on_bytes, silence }: Pick<Transfer, "file" | "on_bytes"> & { readonly silence: AbortController },
): Promise<void> {
  const stop = (): void => silence.abort(new NetworkError(`no byte for ${silent_ms / 1000} s`));
  let timer = setTimeout(stop, silent_ms);
  try {
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      clearTimeout(timer);
      if (state.done + chunk.length > file.size) {
        await out.truncate(0);
        throw new NetworkError(`more than its ${file.size} bytes came`);
      }
      await out.write(chunk);
      state.hash.update(chunk);
      state.done += chunk.length;
      state.received += chunk.length;
      on_bytes(chunk.length);
      timer = setTimeout(stop, silent_ms);
    }
  } finally {
    clearTimeout(timer);
  }
}

const rangeStart = (response: Response): number =>
  Number(/^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1] ?? NaN);

class NetworkError extends Error {}

/** What undici throws while a body arrives, and what is wrong with what arrived. */
const isOfNetwork = (error: unknown): boolean =>
  error instanceof NetworkError ||
  (error instanceof TypeError && error.cause !== undefined) ||
  /^(UND_|ECONN|EPIPE|ETIMEDOUT)/.test(String((error as NodeJS.ErrnoException | undefined)?.code));
