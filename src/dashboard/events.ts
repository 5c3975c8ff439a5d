import type { ServerResponse } from "node:http";
import type { RunSummary } from "./api.js";
import type { RunRegistry } from "./runs.js";

/** Tells open pages what changed, as server-sent events. Files are looked at only while somebody listens. */
export interface EventStream extends Disposable {
  /** False if too many listen already. */
  add(response: ServerResponse): boolean;
}

const max_listeners = 64;
const heartbeat_ms = 15_000;
/** A listener that does not read is dropped. */
const max_buffered_bytes = 2 ** 22;

export function eventStream(registry: RunRegistry, poll_ms: number): EventStream {
  const listeners = new Set<ServerResponse>();
  let sent = new Map<string, string>();
  let timer: NodeJS.Timeout | undefined;
  let beat_at = 0;

  const write = (listener: ServerResponse, text: string): void => {
    if (listener.writableLength > max_buffered_bytes) listener.destroy();
    else listener.write(text);
  };
  const broadcast = (text: string): void => listeners.forEach((listener) => write(listener, text));

  const tick = async (): Promise<void> => {
    await registry.poll();
    const summaries = registry.summaries();
    const texts = new Map(summaries.map((summary) => [summary.id, JSON.stringify(summary)]));
    const changed = summaries.filter(({ id }) => texts.get(id) !== sent.get(id));
    const gone = [...sent.keys()].filter((id) => !texts.has(id));
    sent = texts;
    if (changed.length + gone.length > 0) broadcast(eventText({ changed, gone }));
    else if (performance.now() - beat_at > heartbeat_ms) broadcast(": still here\n\n");
    else return;
    beat_at = performance.now();
  };
  const run = (): void => {
    timer = setTimeout(() => {
      // What cannot be read is a problem of its run; anything else must not end the dashboard.
      void tick()
        .catch((error: unknown) => broadcast(`event: trouble\ndata: ${JSON.stringify(String(error))}\n\n`))
        .finally(() => (listeners.size > 0 ? run() : (timer = undefined)));
    }, poll_ms);
  };

  return {
    add: (response) => {
      if (listeners.size >= max_listeners) return false;
      listeners.add(response);
      response.on("close", () => listeners.delete(response));
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
      const summaries = registry.summaries();
      write(response, `retry: 2000\n\n${eventText({ changed: summaries, gone: [] })}`);
      if (timer === undefined) run();
      return true;
    },
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      for (const listener of listeners) listener.end();
      listeners.clear();
    },
  };
}

const eventText = (data: { readonly changed: readonly RunSummary[]; readonly gone: readonly string[] }): string =>
  `event: runs\ndata: ${JSON.stringify(data)}\n\n`;
