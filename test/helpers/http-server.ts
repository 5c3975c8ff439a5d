import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach } from "vitest";

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** Answers one request; `n` counts from 1 in each test. */
export type Answer = (response: ServerResponse, received: Received, n: number) => void | Promise<void>;

/** A real HTTP server on the loopback interface for one test file. */
export function loopbackServer() {
  const place = {
    url: "",
    received: [] as Received[],
    /** Requests being answered now, and the most so far. */
    busy: 0,
    most_busy: 0,
    answer: ((response) => void response.end("{}")) as Answer,
  };
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const { method = "", url: path = "", headers } = request;
      const received = { method, path, headers, body: Buffer.concat(pieces).toString("utf8") };
      place.received.push(received);
      place.busy += 1;
      place.most_busy = Math.max(place.most_busy, place.busy);
      response.on("close", () => (place.busy -= 1));
      void place.answer(response, received, place.received.length);
    });
  });
  beforeAll(async () => {
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    place.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  beforeEach(() => Object.assign(place, { received: [], busy: 0, most_busy: 0 }));
  afterAll(() => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  });
  return place;
}

export const json = (
  response: ServerResponse,
  value: unknown,
  status = 200,
  headers: Record<string, string> = {},
): void =>
  void response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
