import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Engine } from "../engine/engine.js";
import type { Processor } from "./data/processor.js";

/** Tokenizer and processor files by name. */
export type ProcessorFiles = ReadonlyMap<string, Uint8Array>;

/** Read when a run opens: its model folder may be moved or pruned by another run before the first checkpoint. */
export async function readProcessorFiles(processor: Processor, model_path: string): Promise<ProcessorFiles> {
  const read = async (name: string): Promise<[string, Uint8Array]> => [name, await readFile(join(model_path, name))];
  return new Map(await Promise.all(processor.files.map(read)));
}

/** Fills a checkpoint's folder: model/ (Hugging Face layout, tokenizer files included) and state/ (to go on training). */
export async function saveCheckpoint(engine: Engine, files: ProcessorFiles, folder: string): Promise<void> {
  const model = join(folder, "model");
  const state = join(folder, "state");
  await mkdir(model);
  await mkdir(state);
  await engine.saveModel(model);
  for (const [name, bytes] of files) await writeFile(join(model, name), bytes);
  await engine.saveState(state);
}
