import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** Who may ask for what. */
export interface AccessRules {
  /** Names that a Host header may give, without port, in lower case. Any other may be a foreign page's doing. */
  readonly hosts: ReadonlySet<string>;
  /** null: everyone who reaches the address. */
  readonly token: string | null;
}

export interface Refusal {
  readonly status: number;
  readonly message: string;
}

export const loopback_names = ["localhost", "127.0.0.1", "[::1]"] as const;
export const token_cookie = "sightloop_token";
const max_url_length = 4096;

/** Why a request is not answered; undefined if it is. The dashboard only shows, so it takes no bodies. */
export function refusalOf(request: IncomingMessage, { hosts, token }: AccessRules): Refusal | undefined {
  const { headers, method = "", url = "" } = request;
  if (method !== "GET" && method !== "HEAD") return { status: 405, message: "only GET is answered" };
  if (url.length > max_url_length) return { status: 414, message: `the address is longer than ${max_url_length}` };
  if (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) !== 0)
    return { status: 413, message: "a request may have no body" };
  if (!hosts.has(hostOf(headers.host))) return { status: 403, message: "this host name is not served" };
  // A foreign page may link here, but not load from here.
  const site = headers["sec-fetch-site"];
  if ((site === "cross-site" || site === "same-site") && headers["sec-fetch-mode"] !== "navigate")
    return { status: 403, message: "not for other sites" };
  if (token !== null && !isToken(tokenOf(request), token))
    return { status: 401, message: "open the address with its token, as `sightloop dashboard` printed it" };
  return undefined;
}

/** Host header without port. */
function hostOf(host: string | undefined): string {
  const found = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/i.exec(host ?? "");
  return found?.[1]?.toLowerCase() ?? "";
}

function tokenOf({ headers, url = "" }: IncomingMessage): string {
  const cookie = (headers.cookie ?? "").split(/;\s*/).find((pair) => pair.startsWith(`${token_cookie}=`));
  return queryToken(url) ?? cookie?.slice(token_cookie.length + 1) ?? "";
}

/** The token in the address, if there is one. */
export const queryToken = (url: string): string | undefined =>
  URL.canParse(url, "http://host") ? (new URL(url, "http://host").searchParams.get("token") ?? undefined) : undefined;

function isToken(given: string, token: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}
