import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What goes wrong with one request. */
export type Fault =
  | { readonly status: number; readonly headers?: Record<string, string> }
  /** The connection breaks after so many bytes of the body. */
  | { readonly cut: number }
  | { readonly body: string }
  | { readonly ignore_range: true };

export interface Repository {
  readonly kind: "model" | "dataset";
  readonly id: string;
  /** By path; those of more than 100 bytes are large files (SHA-256, served by the second server). */
  readonly files: Readonly<Record<string, Buffer | string>>;
  readonly token?: string;
  /** Sent in the listing as they stand. */
  readonly extra_entries?: readonly object[];
}

export interface Seen {
  readonly server: "hub" | "store";
  readonly url: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

export const commit = "0123456789abcdef0123456789abcdef01234567";
const page_size = 3;
const is_large = (bytes: Buffer): boolean => bytes.length > 100;
const hex = (algorithm: string, ...parts: (string | Buffer)[]): string => {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
};
export const gitSha1 = (bytes: Buffer): string => hex("sha1", `blob ${bytes.length}\0`, bytes);

/**
 * A hub on loopback: API and small files on one server, large files behind a redirect on another, as the real one has it.
 * `faults` are used up one by one, by the end of a request's path ("tree", "model.safetensors").
 */
export async function hubServer(repositories: readonly Repository[]) {
  const seen: Seen[] = [];
  const faults = new Map<string, Fault[]>();
  const faultOf = (path: string): Fault | undefined => {
    for (const [end, list] of faults) if (path.endsWith(end)) return list.shift();
    return undefined;
  };
  const note = (server: Seen["server"], request: IncomingMessage): URL => {
    const { authorization, range } = request.headers;
    seen.push({ server, url: request.url!, authorization, range });
    return new URL(request.url!, "http://127.0.0.1");
  };
  const send = (request: IncomingMessage, response: ServerResponse, bytes: Buffer, fault: Fault | undefined): void => {
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const ranged = start > 0 && !(fault !== undefined && "ignore_range" in fault);
    if (ranged && start >= bytes.length) return void response.writeHead(416).end();
    const body =
      fault !== undefined && "body" in fault ? Buffer.from(fault.body) : ranged ? bytes.subarray(start) : bytes;
    response.writeHead(ranged ? 206 : 200, {
      "content-length": body.length,
      ...(ranged && { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
    });
    if (fault === undefined || !("cut" in fault)) return void response.end(body);
    response.write(body.subarray(0, fault.cut), () => setTimeout(() => response.socket?.end(), 20));
  };
  const failing = (response: ServerResponse, fault: Fault | undefined): boolean => {
    if (fault === undefined || !("status" in fault)) return false;
    response.writeHead(fault.status, fault.headers).end("<html>an error page</html>");
    return true;
  };

  const contents = new Map<string, Buffer>();
  for (const { files } of repositories)
    for (const file of Object.values(files)) contents.set(hex("sha256", Buffer.from(file)), Buffer.from(file));
  const store = await listen((request, response) => {
    const url = note("store", request);
    const bytes = contents.get(url.pathname.slice(1))!;
    const fault = faultOf(url.searchParams.get("file")!);
    if (!failing(response, fault)) send(request, response, bytes, fault);
  });

  const hub = await listen((request, response) => {
    const url = note("hub", request);
    const path = decodeURIComponent(url.pathname);
    const fault = path.includes("/resolve/") ? undefined : faultOf(path.replace(/\/(tree|revision)\/.*/, "/$1"));
    if (failing(response, fault)) return;
    const match =
      /^\/api\/(model|dataset)s\/([^/]+\/[^/]+)\/(tree|revision)\/(.+)$/.exec(path) ??
      /^\/(?:(dataset)s\/)?([^/]+\/[^/]+)\/(resolve)\/[^/]+\/(.+)$/.exec(path);
    const [, kind = "model", id, verb, rest] = match ?? [];
    const found = repositories.find((repository) => repository.kind === kind && repository.id === id);
    const allowed = found?.token === undefined || request.headers.authorization === `Bearer ${found.token}`;
    if (found === undefined || !allowed)
      return void response.writeHead(401, { "x-error-code": "RepoNotFound" }).end("Invalid username or password.");
    if (verb === "revision") {
      if (rest !== "main" && rest !== commit)
        return void response.writeHead(404, { "x-error-code": "RevisionNotFound" }).end();
      return void json(response, { sha: commit, siblings: [] });
    }
    if (verb === "tree") {
      const entries = [
        ...Object.entries(found.files).map(([file, content]) => entryOf(file, Buffer.from(content))),
        { type: "directory", oid: "1".repeat(40), size: 0, path: "folder" },
        ...(found.extra_entries ?? []),
      ];
      const from = Number(url.searchParams.get("cursor") ?? 0);
      const next = `<${origin(hub)}${url.pathname}?recursive=true&cursor=${from + page_size}>; rel="next"`;
      if (from + page_size < entries.length) response.setHeader("link", next);
      return void json(response, entries.slice(from, from + page_size));
    }
    const content = found.files[rest!];
    if (content === undefined) return void response.writeHead(404, { "x-error-code": "EntryNotFound" }).end();
    const bytes = Buffer.from(content);
    if (is_large(bytes)) {
      const location = `${origin(store)}/${hex("sha256", bytes)}?file=${encodeURIComponent(rest!)}&signature=of-the-store`;
      return void response.writeHead(302, { location }).end();
    }
    const file_fault = faultOf(rest!);
    if (!failing(response, file_fault)) send(request, response, bytes, file_fault);
  });

  return {
    endpoint: origin(hub),
    seen,
    fail: (end: string, ...list: Fault[]) => void faults.set(end, list),
    close: async () => {
      for (const server of [hub, store]) {
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      }
    },
  };
}

function entryOf(path: string, bytes: Buffer): object {
  const entry = { type: "file", path, size: bytes.length, oid: gitSha1(bytes) };
  return is_large(bytes)
    ? { ...entry, lfs: { oid: hex("sha256", bytes), size: bytes.length, pointerSize: 134 } }
    : entry;
}

const json = (response: ServerResponse, value: unknown): void =>
  void response.setHeader("content-type", "application/json").end(JSON.stringify(value));

const origin = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

async function listen(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer(handler);
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  return server;
}
