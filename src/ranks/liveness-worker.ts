import { writeSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { parentPort, workerData } from "node:worker_threads";
import type { FromWorker, Line, Peer, ToWorker, WorkerOptions } from "./liveness-messages.js";

/** The thread behind liveness.ts. Of two ranks the higher one connects to the lower. */
const { rank: own_rank, world_size, local_address, liveness_timeout_s } = workerData as WorkerOptions;
const main = parentPort!;
const beat_ms = Math.min(1000, (liveness_timeout_s * 1000) / 5);
/** The main thread is given this long to end the process, before it is ended from here. */
const last_resort_ms = 10_000;

interface Link {
  readonly rank: number;
  socket: Socket | undefined;
  heard_at: number;
  phase: string;
  step: number;
  gone: boolean;
}

const links = new Map<number, Link>();
let peers: readonly Peer[] = [];
let here = { phase: "", step: 0 };
let leaving = false;
let stopping = false;

const say = (message: FromWorker): void => main.postMessage(message);
const send = (socket: Socket | undefined, line: Line): void => void socket?.write(`${JSON.stringify(line)}\n`);
const sendAll = (line: Line): void => links.forEach(({ socket }) => send(socket, line));

function linkOf(rank: number): Link {
  const known = links.get(rank);
  if (known !== undefined) return known;
  const link = { rank, socket: undefined, heard_at: Date.now(), phase: "", step: 0, gone: false };
  links.set(rank, link);
  return link;
}

function lose(link: Link, why: string): void {
  if (link.gone || leaving) return;
  link.gone = true;
  const { rank, phase, step } = link;
  const host = peers[rank]?.host ?? "an unknown host";
  say({ type: "lost", rank, host, phase, step, why });
  setTimeout(() => {
    writeSync(2, `error: rank ${rank} on ${host} ${why}; this process does not react and is ended\n`);
    process.kill(process.pid, "SIGKILL");
  }, last_resort_ms);
}

function hear(link: Link, line: Line): void {
  link.heard_at = Date.now();
  if (line.type === "alive") Object.assign(link, { phase: line.phase, step: line.step });
  else if (line.type === "stop") say({ type: "stop" });
  else if (line.type === "leave") {
    link.gone = true;
    if (line.failure !== undefined)
      say({
        type: "failed",
        rank: link.rank,
        host: peers[link.rank]?.host ?? "an unknown host",
        failure: line.failure,
      });
  }
}

/** Reads one connection; the link is known from the start where this rank has made it, or from the other's hello. */
function attend(socket: Socket, to?: Link): void {
  let link = to;
  socket.setNoDelay(true);
  socket.on("error", () => {}); // "close" follows
  socket.on("close", () => link !== undefined && lose(link, "is gone: its process ended without a word"));
  createInterface({ input: socket }).on("line", (text) => {
    let line: Line;
    try {
      line = JSON.parse(text) as Line;
    } catch {
      socket.destroy(); // not one of us
      return;
    }
    if (line.type === "hello" && link === undefined && line.rank > own_rank && line.rank < world_size) {
      link = linkOf(line.rank);
      link.socket = socket;
      if (stopping) send(socket, { type: "stop" }); // it was not there to hear it
    } else if (link === undefined) socket.destroy();
    if (link !== undefined) hear(link, line);
  });
}

function begin(all: readonly Peer[]): void {
  peers = all;
  all.forEach((peer, rank) => {
    if (rank === own_rank) return;
    const link = linkOf(rank);
    link.heard_at = Date.now();
    if (rank > own_rank) return;
    link.socket = createConnection({ ...peer, localAddress: local_address });
    attend(link.socket, link);
    send(link.socket, { type: "hello", rank: own_rank });
  });
  setInterval(() => {
    sendAll({ type: "alive", ...here });
    for (const link of links.values())
      if (Date.now() - link.heard_at > liveness_timeout_s * 1000)
        lose(link, `has not been heard from for ${liveness_timeout_s} s`);
  }, beat_ms);
}

const server = createServer((socket) => attend(socket));
server.listen(0, local_address, () => say({ type: "listening", port: (server.address() as { port: number }).port }));

main.on("message", (message: ToWorker) => {
  if (message.type === "begin") begin(message.peers);
  else if (message.type === "at") {
    here = { phase: message.phase, step: message.step };
    sendAll({ type: "alive", ...here }); // so that its loss is told with its place, however short phases are
  } else if (message.type === "stop") {
    stopping = true;
    sendAll(message);
  } else {
    leaving = true;
    sendAll(message);
    // Until the other side has read it and closed too: bytes still unread here would tear the connection down before. A peer
    // that does not read must not hold this rank.
    const closing = [...links.values()].map(
      ({ socket }) =>
        new Promise<void>((done) => {
          if (socket === undefined || socket.destroyed) return done();
          socket.once("close", () => done());
          socket.end();
        }),
    );
    const given_up = new Promise<void>((done) => setTimeout(done, 1000));
    void Promise.race([Promise.all(closing), given_up]).then(() => process.exit(0));
  }
});
