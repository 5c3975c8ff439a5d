import { setTimeout as sleep } from "node:timers/promises";

/** Lets `size` pieces of work run at once, first come, first served; all of it can be held up for a while. */
export class Limiter {
  #free: number;
  #resume_at = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(size: number) {
    this.#free = size;
  }

  /** Nothing starts for so long. */
  pause(ms: number): void {
    this.#resume_at = Math.max(this.#resume_at, performance.now() + ms);
  }

  /** @throws the signal's reason if it aborts before the work starts */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve)); // a place is handed over
    try {
      for (let wait = this.#pause(); wait > 0; wait = this.#pause()) await pauseFor(wait, signal);
      signal.throwIfAborted();
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }

  #pause = (): number => this.#resume_at - performance.now();
}

/** @throws the signal's reason */
export async function pauseFor(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error;
  });
}
