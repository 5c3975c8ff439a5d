import type { Dtype } from "../engine/engine.js";
import { UserError } from "../errors.js";
import { locateModel } from "../hub/locate.js";
import { openInference } from "../pipeline/inference.js";
import { readProcessorFiles, saveModelFolder } from "../pipeline/save.js";
import { untilInterrupted } from "./interrupt.js";
import { loadingBar } from "./loading-bar.js";
import { newFolder } from "./new-folder.js";

export interface MergeArguments {
  readonly model: string;
  readonly adapter: string;
  readonly output: string;
  readonly dtype: Dtype;
  readonly json: boolean;
}

/** `sightloop merge` */
export async function merge({ model, adapter, output, dtype, json }: MergeArguments): Promise<void> {
  using interrupt = untilInterrupted();
  const { signal } = interrupt;
  try {
    await newFolder(output, async (folder) => {
      const { path: model_path } = await locateModel(model, { signal });
      using loading = loadingBar(`loading ${model}`);
      await using opened = await openInference(
        { model_path, adapter_path: adapter, seed: 0, threads: 0, dtype, deterministic: "run" },
        { signal, on_progress: loading.show },
      );
      loading.clear();
      await saveModelFolder(opened.engine, await readProcessorFiles(opened.processor, model_path), folder);
    });
  } catch (cause) {
    if (!signal.aborted || cause instanceof UserError) throw cause;
    throw new UserError("INTERRUPTED", "interrupted; nothing was written", "Run it again.", { cause });
  }
  console.log(
    json ? JSON.stringify({ path: output, model, adapter, dtype }) : `${output}: ${adapter} merged into ${model}`,
  );
}
