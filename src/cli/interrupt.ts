/**
 * A signal that aborts at the first Ctrl-C (or SIGTERM): the work in hand ends tidily. A second one ends the process
 * at once with 130. Dispose it when the work is over.
 */
export function untilInterrupted(): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const listener = (): void => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write("\ninterrupted: finishing tidily; press Ctrl-C again to stop at once\n");
    controller.abort();
  };
  process.on("SIGINT", listener).on("SIGTERM", listener);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => void process.off("SIGINT", listener).off("SIGTERM", listener),
  };
}
