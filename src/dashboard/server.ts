import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { UserError } from "../errors.js";
import { type AccessRules, loopback_names, queryToken, refusalOf, token_cookie } from "./access.js";
import { loadAssets } from "./assets.js";
import { type EventStream, eventStream } from "./events.js";
import { type Answer, BadRequest, missing, route, type RouteContext } from "./routes.js";
import { runRegistry } from "./runs.js";
import { sampleLists } from "./samples.js";

export interface DashboardOptions {
  /** Run folders, or folders of runs. */
  readonly folders: readonly string[];
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Names beside the machine's own that a Host header may give, as behind a proxy. */
  readonly allowed_hosts?: readonly string[];
  /** null only where no one else can reach the address. */
  readonly token: string | null;
  readonly poll_ms?: number;
}

export interface Dashboard extends AsyncDisposable {
  /** With the token, if there is one. */
  readonly url: string;
  readonly port: number;
}

export const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || /^127\./.test(host);

/** Nothing from elsewhere, nothing inline; and no other page may frame this one. */
const security_headers = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ...{ "x-content-type-options": "nosniff", "referrer-policy": "no-referrer" },
  ...{ "cross-origin-resource-policy": "same-origin", "cross-origin-opener-policy": "same-origin" },
};

/**
 * Serves the dashboard until it is disposed of.
 * @throws UserError CONFIG_INVALID if the address cannot be had, or would be open to others without a token
 */
export async function openDashboard(options: DashboardOptions): Promise<Dashboard> {
  const { folders, host, port, token, allowed_hosts = [], poll_ms = 1000 } = options;
  if (token === null && !isLoopback(host))
    throw new UserError("CONFIG_INVALID", `${host} is open to others`, "A token is needed there.");
  const registry = runRegistry(folders, 5 * poll_ms);
  await registry.poll();
  const context: RouteContext = { registry, lists: sampleLists(), tokenizers: new Map() };
  const assets = await loadAssets();
  const events = eventStream(registry, poll_ms);
  const hosts = new Set([...loopback_names, ...allowed_hosts.map((name) => name.toLowerCase())]);
  if (!isLoopback(host)) for (const name of ownNames(host)) hosts.add(name.toLowerCase());
  const server = createServer(
    { maxHeaderSize: 16_384, requestTimeout: 30_000, headersTimeout: 10_000 },
    (request, response) => {
      void answer({ hosts, token }, context, assets, events, request, response);
    },
  );
  server.maxConnections = 256;
  await listening(server, host, port);
  const bound = (server.address() as AddressInfo).port;
  const shown = host === "0.0.0.0" || host === "::" ? hostname() : host.includes(":") ? `[${host}]` : host;
  return {
    url: `http://${shown}:${bound}/${token === null ? "" : `?token=${token}`}`,
    port: bound,
    [Symbol.asyncDispose]: async () => {
      events[Symbol.dispose]();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Names and addresses by which this machine may be called when it listens at `host`. */
const ownNames = (host: string): readonly string[] => {
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? []);
  return [host, hostname(), ...addresses].map((name) => (name.includes(":") ? `[${name}]` : name));
};

async function answer(
  rules: AccessRules,
  context: RouteContext,
  assets: ReadonlyMap<string, Answer>,
  events: EventStream,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  for (const [name, value] of Object.entries(security_headers)) response.setHeader(name, value);
  try {
    const refusal = refusalOf(request, rules);
    if (refusal !== undefined) {
      response.setHeader("connection", "close"); // whatever body is on its way is not read
      return send(response, { status: refusal.status, type: "text/plain", body: `${refusal.message}\n` });
    }
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://host");
    const token = queryToken(request.url ?? "");
    if (token !== undefined && rules.token !== null && pathname === "/") return keepToken(response, token);
    if (pathname === "/api/events") {
      if (!events.add(response)) send(response, { status: 503, type: "text/plain", body: "too many pages are open\n" });
      return;
    }
    const path = pathname.split("/").slice(1).map(decoded);
    if (path[0] === "api") send(response, await route(context, path.slice(1), searchParams));
    else send(response, assets.get(pathname) ?? missing("such address"));
  } catch (error) {
    const status = error instanceof BadRequest ? 400 : 500;
    const message = error instanceof Error ? error.message : String(error);
    if (response.headersSent) response.destroy();
    else send(response, { status, type: "text/plain", body: `${message}\n` });
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new BadRequest("the address is not well encoded");
  }
}

/** The token goes from the address, which is seen and shared, into a cookie that only this page sends. */
function keepToken(response: ServerResponse, token: string): void {
  response.setHeader("set-cookie", `${token_cookie}=${token}; HttpOnly; SameSite=Strict; Path=/`);
  response.writeHead(303, { location: "/", "cache-control": "no-store" }).end();
}

function send(response: ServerResponse, { status, type, body, is_immutable }: Answer): void {
  response.setHeader("cache-control", is_immutable === true ? "private, max-age=31536000, immutable" : "no-store");
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) }).end(body);
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EADDRINUSE" ? "the port is taken" : cause.message;
      reject(
        new UserError(
          "CONFIG_INVALID",
          `${host}:${port} cannot be listened at: ${why}`,
          "Choose another --port or --host.",
          { cause },
        ),
      );
    });
    server.listen(port, host, resolve);
  });
}
