/** What came of one reward for one completion. */
export type Outcome = {
  /** Of computing it, without waiting for a worker; absent: it waited for none. */
  readonly seconds?: number;
} & (
  | { readonly status: "ok"; readonly value: number }
  | { readonly status: "timeout" | "error"; readonly message: string; readonly hint: string; readonly cause?: unknown }
);

export const tooLate = (timeout_ms: number): Outcome => ({
  status: "timeout",
  message: `took longer than ${timeout_ms} ms`,
  hint: "Make it faster, let it give up by itself, or raise reward_timeout_ms.",
});

export const threw = (what: string, cause?: unknown): Outcome => ({
  status: "error",
  message: `threw ${what}`,
  hint: "Malformed completions are normal: a reward should return 0 for them instead of throwing.",
  cause,
});

/** A score as a reward returned it, `shown` for messages. */
export const returned = (value: unknown, shown = show(value)): Outcome =>
  typeof value === "number" && Number.isFinite(value)
    ? { status: "ok", value }
    : {
        status: "error",
        message: `returned ${shown}`,
        hint: "A reward must return a finite number; return 0 where there is no answer.",
      };

/** Short, on one line, whatever the value is. */
export function show(value: unknown): string {
  let text: string;
  try {
    text = typeof value === "string" ? JSON.stringify(value) : String(value);
  } catch {
    text = typeof value;
  }
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}
