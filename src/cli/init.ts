import type { Dtype } from "../engine/engine.js";
import { UserError } from "../errors.js";
import { initFolder, presetFolder } from "./init-model.js";
import { untilInterrupted } from "./interrupt.js";
import { loadingBar } from "./loading-bar.js";

export interface InitArguments {
  readonly preset: string | undefined;
  readonly config: string | undefined;
  readonly output: string;
  readonly seed: number;
  readonly dtype: Dtype | undefined;
  readonly json: boolean;
}

/** `sightloop init` */
export async function init({ output, seed, json, ...args }: InitArguments): Promise<void> {
  using interrupt = untilInterrupted();
  const { signal } = interrupt;
  const source = await presetFolder(args);
  try {
    using writing = loadingBar(`writing ${output}`);
    const options = { dtype: args.dtype, signal, on_progress: writing.show };
    const { num_parameters, dtype } = await initFolder(source, output, seed, options);
    writing.clear();
    if (json) console.log(JSON.stringify({ path: output, num_parameters, dtype, seed }));
    else console.log(`${output}: ${num_parameters.toLocaleString("en")} parameters, ${dtype}, seed ${seed}`);
  } catch (cause) {
    if (!signal.aborted || cause instanceof UserError) throw cause;
    throw new UserError("INTERRUPTED", "interrupted; nothing was written", "Run it again.", { cause });
  }
}
