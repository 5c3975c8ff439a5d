import { ServiceFailure } from "./http/failure.js";
import { type Outcome, returned, show, threw, tooLate } from "./outcome.js";
import type { RewardInput, Service } from "./reward.js";

/** A reward of the caller's own. The signal aborts when the time is up or the run is cancelled. */
export type RewardFunction = (
  input: RewardInput,
  options: { readonly signal: AbortSignal },
) => number | Promise<number>;

/**
 * Runs a function here. The timeout ends waiting for a promise; nothing can interrupt a function that computes without
 * ever returning.
 * @throws the signal's reason
 */
export async function callFunction(
  score: RewardFunction,
  input: RewardInput,
  timeout_ms: number,
  signal: AbortSignal,
): Promise<Outcome> {
  signal.throwIfAborted();
  const controller = new AbortController();
  const called = (async () => score(input, { signal: controller.signal }))().then(
    (value: unknown) => returned(value),
    (cause: unknown) => threw(show(cause), cause),
  );
  let timer: NodeJS.Timeout | undefined;
  let cancel: (() => void) | undefined;
  const stopped = new Promise<Outcome>((resolve, reject) => {
    timer = setTimeout(() => {
      resolve(tooLate(timeout_ms));
      controller.abort(new Error(`the reward took longer than ${timeout_ms} ms`));
    }, timeout_ms);
    cancel = () => {
      reject(signal.reason as Error);
      controller.abort(signal.reason);
    };
    signal.addEventListener("abort", cancel, { once: true });
  });
  try {
    return await Promise.race([called, stopped]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel!);
  }
}

/** Asks a server; the service bounds its own time. @throws the signal's reason */
export async function callService(service: Service, input: RewardInput, signal: AbortSignal): Promise<Outcome> {
  signal.throwIfAborted();
  try {
    return returned(await service.score(input, signal));
  } catch (cause) {
    if (cause instanceof ServiceFailure)
      return { status: cause.status, message: cause.message, hint: cause.hint, cause };
    throw cause;
  }
}
