import type { Addon, StopSource } from "./addon.js";
import type { Cancellable } from "./engine.js";
import { asUserError, isStopped, type Meaning } from "./native-error.js";

/** One native call: aborting `signal` stops it and rejects with the signal's reason. */
export async function callNative<T>(
  addon: Addon,
  run: (stop: StopSource | null) => Promise<T>,
  meaning: Meaning,
  { signal }: Cancellable = {},
): Promise<T> {
  signal?.throwIfAborted();
  const stop = signal === undefined ? null : addon.createStopSource();
  const onAbort = () => stop !== null && addon.requestStop(stop);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return await run(stop);
  } catch (error) {
    if (isStopped(error)) signal?.throwIfAborted();
    throw asUserError(error, meaning);
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}
