import { show } from "../outcome.js";
import { ServiceFailure } from "./failure.js";
import { Limiter, pauseFor } from "./limiter.js";
import type { HttpParams } from "./params.js";

const longest_wait_ms = 60_000;
const passing = new Set([408, 429, 500, 502, 503, 504]);

/** Posts JSON and returns the answer's, within the limits of `params`. @throws ServiceFailure, the signal's reason */
export type Post = (body: unknown, signal: AbortSignal) => Promise<unknown>;

interface Attempt {
  readonly failure: ServiceFailure;
  readonly is_passing: boolean;
  /** As the server asked. */
  readonly retry_after_ms?: number | undefined;
}

export function httpClient(url: string, params: HttpParams, key: string | undefined): Post {
  const limiter = new Limiter(params.max_concurrent);
  const headers = {
    "content-type": "application/json",
    accept: "application/json",
    ...(key !== undefined && { authorization: `Bearer ${key}` }),
  };
  const hide = (text: string): string => (key === undefined ? text : text.replaceAll(key, "***"));
  const where = new URL(url).host;

  const attempt = async (body: string, signal: AbortSignal): Promise<{ readonly answer: unknown } | Attempt> => {
    const limit = AbortSignal.timeout(params.timeout_ms);
    try {
      const both = AbortSignal.any([signal, limit]);
      const response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal: both });
      const text = await readBody(response, params.max_response_bytes);
      if (text === undefined)
        return refused(`answered more than ${params.max_response_bytes} bytes`, "max_response_bytes");
      if (response.ok) return parsed(text);
      return {
        failure: new ServiceFailure(
          "error",
          `${where} answered with status ${response.status}: ${hide(show(text.trim()))}`,
          response.status === 401 || response.status === 403
            ? "Check api_key_env and the key's rights."
            : "See the server's log, and check url and the reward's parameters.",
        ),
        is_passing: passing.has(response.status),
        retry_after_ms: retryAfter(response.headers.get("retry-after")),
      };
    } catch (cause) {
      signal.throwIfAborted();
      const is_late = limit.aborted;
      const what = is_late
        ? `${where} did not answer within ${params.timeout_ms} ms`
        : `${where} cannot be reached: ${reason(cause)}`;
      const hint = is_late ? "Raise timeout_ms, or lower max_concurrent." : "Check url, and that the server runs.";
      return { failure: new ServiceFailure(is_late ? "timeout" : "error", what, hint, { cause }), is_passing: true };
    }
  };
  const refused = (what: string, key_name: string): Attempt => ({
    failure: new ServiceFailure("error", `${where} ${what}`, `Check url, or raise ${key_name}.`),
    is_passing: false,
  });
  const parsed = (text: string): { readonly answer: unknown } | Attempt => {
    try {
      return { answer: JSON.parse(text) as unknown };
    } catch {
      return refused(`answered something that is not JSON: ${hide(show(text))}`, "max_retries");
    }
  };

  return async (value, signal) => {
    const body = JSON.stringify(value);
    for (let tried = 1; ; tried++) {
      const result = await limiter.run(async () => {
        const made = await attempt(body, signal);
        // All requests of this reward; set before the place goes to the next one.
        if ("failure" in made && made.is_passing) limiter.pause(made.retry_after_ms ?? 0);
        return made;
      }, signal);
      if ("answer" in result) return result.answer;
      const { failure, is_passing, retry_after_ms } = result;
      if (!is_passing) throw failure;
      if (tried > params.max_retries) {
        const message = `${failure.message} (tried ${tried} times)`;
        throw new ServiceFailure(failure.status, message, failure.hint, { cause: failure });
      }
      if (retry_after_ms !== undefined) continue;
      const delay = Math.min(longest_wait_ms, params.retry_delay_ms * 2 ** (tried - 1));
      await pauseFor(delay * (0.75 + Math.random() / 4), signal); // apart, so that they do not all come back at once
    }
  };
}

/** The text, or undefined if it is longer than allowed. */
async function readBody(response: Response, max_bytes: number): Promise<string | undefined> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    size += piece.byteLength;
    if (size > max_bytes) return undefined; // leaving the loop drops the connection
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

/** Seconds or a date, in ms from now; undefined if it is neither. */
export function retryAfter(header: string | null, now = Date.now()): number | undefined {
  if (header === null || header.trim() === "") return undefined;
  const ms = /^\d+(\.\d+)?$/.test(header.trim()) ? 1000 * Number(header) : Date.parse(header) - now;
  return Number.isNaN(ms) ? undefined : Math.min(longest_wait_ms, Math.max(0, ms));
}

/** `fetch` hides why behind "fetch failed". */
function reason(error: unknown): string {
  const { cause, message } = error as Error & { cause?: Error & { code?: string } };
  return cause?.code ?? (cause?.message || message);
}
