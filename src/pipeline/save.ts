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

/** What a checkpoint holds besides state/. */
export interface SavedParts {
  readonly model: boolean;
  readonly adapter: boolean;
}

/**
 * Fills a checkpoint's folder: model/ (Hugging Face layout, tokenizer files included, an adapter merged in), adapter/ (PEFT's
 * format) and state/ (to go on training).
 */
export async function saveCheckpoint(
  engine: Engine,
  files: ProcessorFiles,
  folder: string,
  parts: SavedParts,
): Promise<void> {
  if (parts.model) {
    await mkdir(join(folder, "model"));
    await saveModelFolder(engine, files, join(folder, "model"));
  }
  if (parts.adapter) {
    await mkdir(join(folder, "adapter"));
    await engine.saveAdapter(join(folder, "adapter"));
  }
  await mkdir(join(folder, "state"));
  await engine.saveState(join(folder, "state"));
}

/** A model that can be used on its own, tokenizer files included, in an existing folder. */
export async function saveModelFolder(engine: Engine, files: ProcessorFiles, folder: string): Promise<void> {
  await engine.saveModel(folder);
  for (const [name, bytes] of files) await writeFile(join(folder, name), bytes);
}
