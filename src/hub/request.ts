import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../errors.js";
import type { HubOptions } from "./options.js";
import type { HubSettings } from "./settings.js";

export interface Hub {
  readonly settings: HubSettings;
  readonly options: HubOptions;
}

const max_attempts = 6;
/** Failures that waiting rarely mends. */
const max_attempts_unreachable = 2;
const max_wait_ms = 60_000;
const max_redirects = 5;

/** Counts failures and waits between them. */
export interface Patience {
  /** Waits before the next attempt; false once there were enough. */
  readonly wait: (retry_after_ms?: number) => Promise<boolean>;
  readonly reset: () => void;
}

export function patience({ retry_wait_ms = 1000, signal }: HubOptions): Patience {
  let failures = 0;
  return {
    async wait(retry_after_ms) {
      failures += 1;
      if (failures >= max_attempts || (retry_after_ms ?? 0) > max_wait_ms) return false;
      const grown = retry_wait_ms * 2 ** (failures - 1);
      await sleep(Math.min(max_wait_ms, Math.max(retry_after_ms ?? 0, grown)), undefined, { signal });
      return true;
    },
    reset: () => {
      failures = 0;
    },
  };
}

/**
 * The answer to a GET: 2xx, or 416 where a range was asked for. Redirects are followed; the token goes to the endpoint's
 * own origin only. Too many requests and errors of the server are tried again.
 * @param what what is asked for, in messages
 * @throws UserError DOWNLOAD_FAILED
 */
export async function request(
  hub: Hub,
  url: string,
  { what, headers = {} }: { readonly what: string; readonly headers?: Readonly<Record<string, string>> },
): Promise<Response> {
  const tries = patience(hub.options);
  let unreachable = 0;
  for (;;) {
    let response: Response;
    try {
      response = await follow(hub, url, headers);
    } catch (error) {
      hub.options.signal?.throwIfAborted();
      if (error instanceof UserError) throw error;
      unreachable += /ENOTFOUND|EAI_AGAIN|ECONNREFUSED/.test(reasonOf(error)) ? 1 : 0;
      if (unreachable < max_attempts_unreachable && (await tries.wait())) continue;
      throw failed(`${what}: ${hub.settings.endpoint} cannot be reached (${reasonOf(error)})`, try_again, error);
    }
    if (response.ok || (response.status === 416 && "range" in headers)) return response;
    await response.body?.cancel();
    if (![408, 429, 500, 502, 503, 504].includes(response.status)) throw refusal(hub, response, what);
    if (await tries.wait(retryAfter(response))) continue;
    throw failed(`${what}: the hub answers ${response.status} (${reason(response)}) again and again`, try_again);
  }
}

const try_again =
  "Try again later: what has been downloaded is kept. HF_HUB_OFFLINE=1 uses what was downloaded before; a local folder works too.";

async function follow(
  { settings, options }: Hub,
  start: string,
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  const home = new URL(settings.endpoint).origin;
  let url = new URL(start);
  for (let hop = 0; hop <= max_redirects; hop++) {
    const authorization =
      settings.token !== undefined && url.origin === home ? { authorization: `Bearer ${settings.token}` } : undefined;
    const response = await fetch(url, {
      headers: { "accept-encoding": "identity", "user-agent": "sightloop", ...headers, ...authorization },
      redirect: "manual",
      ...(options.signal !== undefined && { signal: options.signal }),
    });
    const location = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || location === null) return response;
    await response.body?.cancel();
    const next = new URL(location, url);
    if (!/^https?:$/.test(next.protocol) || (url.protocol === "https:" && next.protocol === "http:"))
      throw failed(`the hub sends on to an address that is not safe to follow`, "Check HF_ENDPOINT.");
    url = next;
  }
  throw failed("the hub redirects in circles", "Check HF_ENDPOINT, or try again later.");
}

function refusal({ settings }: Hub, response: Response, what: string): UserError {
  const code = response.headers.get("x-error-code") ?? "";
  const with_token = settings.token === undefined ? "no HF_TOKEN is set" : "with the HF_TOKEN that is set";
  if (code === "GatedRepo")
    return failed(
      `${what}: access has to be granted by its owners (${with_token})`,
      `Ask for it on its page at ${settings.endpoint}, then set HF_TOKEN.`,
    );
  if (response.status === 401 || response.status === 403)
    return failed(
      `${what}: does not exist on the hub, or needs permission (${response.status}; ${with_token})`,
      "Check the name. For a private repository set HF_TOKEN to a token that may read it.",
    );
  if (response.status === 404)
    return failed(
      `${what}: does not exist on the hub (${code === "" ? "404" : code})`,
      "Check the name and the revision.",
    );
  return failed(`${what}: the hub answers ${response.status} (${reason(response)})`, try_again);
}

const reason = ({ status, statusText }: Response): string =>
  statusText || (status === 429 ? "too many requests" : "an error of the server");

/** Seconds or a date; milliseconds from now. */
function retryAfter(response: Response): number | undefined {
  const text = response.headers.get("retry-after");
  if (text === null) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** The innermost cause; fetch wraps it in "fetch failed". */
export function reasonOf(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause !== undefined) inner = inner.cause;
  if (!(inner instanceof Error)) return String(inner);
  const code = (inner as NodeJS.ErrnoException).code;
  return code !== undefined && !inner.message.includes(code) ? `${code}: ${inner.message}` : inner.message;
}

export const failed = (message: string, hint: string, cause?: unknown): UserError =>
  new UserError("DOWNLOAD_FAILED", message, hint, { cause });
