import type { DeviceChoice } from "../engine/device.js";
import type { Deterministic, Dtype } from "../engine/engine.js";
import { UserError } from "../errors.js";
import { buildPrompts } from "../pipeline/data/prompts.js";
import { openInference } from "../pipeline/inference.js";
import { downloadBar } from "./download-bar.js";
import { untilInterrupted } from "./interrupt.js";
import { loadingBar } from "./loading-bar.js";
import { numberCheck, whole } from "./numbers.js";

export interface GenerateArguments {
  readonly model: string;
  readonly adapter: string | undefined;
  readonly image: readonly string[];
  readonly question: string;
  readonly "system-prompt": string | undefined;
  readonly "assistant-prefix": string;
  readonly temperature: number;
  readonly "top-p": number;
  readonly "top-k": number;
  readonly "max-completion-tokens": number;
  readonly dtype: Dtype;
  readonly device: DeviceChoice;
  readonly deterministic: Deterministic;
  readonly seed: number;
  readonly threads: number;
  readonly json: boolean;
}

/** Samples one completion; its text is printed as it grows. */
export async function generate(args: GenerateArguments): Promise<void> {
  const check = numberCheck("generate", args);
  check("temperature", "0 (greedy) or more", (value) => value >= 0);
  check("top-p", "above 0 and at most 1", (value) => value > 0 && value <= 1);
  for (const option of ["top-k", "seed", "threads"] as const) check(option, ...whole(0));
  check("max-completion-tokens", ...whole(1));
  using interrupt = untilInterrupted();
  const { signal } = interrupt;
  try {
    const { model: model_path, adapter: adapter_path, seed, threads, dtype, device, deterministic } = args;
    using loading = loadingBar(`loading ${model_path}`);
    using download = downloadBar();
    const hub = { signal, on_progress: download.show };
    await using model = await openInference(
      { model_path, adapter_path, seed, threads, dtype, device, deterministic, hub },
      { signal, on_progress: loading.show },
    );
    loading.clear();
    const { engine, processor } = model;
    const images = args.image.map((path) => ({ path }));
    const sample = { id: "the question", question: args.question, answer: "", images };
    const prompts = await buildPrompts(engine, processor, [{ prompt_id: 0, sample }], {
      system_prompt: args["system-prompt"],
      assistant_prefix: args["assistant-prefix"],
      max_prompt_tokens: engine.model.max_position_embeddings,
      signal,
    });

    const printer = textPrinter(args.json ? () => {} : (text) => process.stdout.write(text));
    printer.show(args["assistant-prefix"]);
    const start = performance.now();
    await using session = engine.rollout(
      {
        ...{ temperature: args.temperature, top_k: args["top-k"], top_p: args["top-p"], seed: args.seed, step: 0 },
        max_completion_tokens: args["max-completion-tokens"],
        stop_token_ids: processor.stop_token_ids,
        ...{ max_concurrent_completions: 1, kv_block_size: 16, stream: true },
      },
      { signal },
    );
    await session.add(prompts, 1);
    for await (const { token_ids, finish_reason } of session) {
      const text = args["assistant-prefix"] + processor.decode(token_ids, { skip_special_tokens: true });
      printer.show(text, finish_reason !== null);
      if (finish_reason === null) continue;
      const seconds = (performance.now() - start) / 1000;
      const num_tokens = token_ids.length;
      if (args.json) console.log(JSON.stringify({ text, finish_reason, num_tokens, seconds }));
      else console.log(`\n(${num_tokens} tokens in ${seconds.toFixed(2)} s, ${finish_reason})`);
    }
    await session.finish();
  } catch (cause) {
    if (!signal.aborted || cause instanceof UserError) throw cause;
    throw new UserError("INTERRUPTED", "interrupted before the answer was complete", "Run it again.", { cause });
  }
}

/** Writes what is new of a growing text; a character that is not complete yet (U+FFFD at the end) waits. */
export function textPrinter(write: (text: string) => void) {
  let printed = "";
  return {
    show(text: string, last = true): void {
      const ready = last ? text : text.replace(/\uFFFD+$/, "");
      if (!ready.startsWith(printed) || ready.length === printed.length) return;
      write(ready.slice(printed.length));
      printed = ready;
    },
  };
}
