import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Engine } from "../engine/engine.js";
import type { Processor } from "./data/processor.js";

/** Fills a checkpoint's folder: model/ (Hugging Face layout, tokenizer files included) and state/ (to go on training). */
export async function saveCheckpoint(
  engine: Engine,
  processor: Processor,
  model_path: string,
  folder: string,
): Promise<void> {
  const model = join(folder, "model");
  const state = join(folder, "state");
  await mkdir(model);
  await mkdir(state);
  await engine.saveModel(model);
  for (const name of processor.files) await copyFile(join(model_path, name), join(model, name));
  await engine.saveState(state);
}
