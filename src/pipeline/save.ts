import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SavedParts } from "../config/lora.js";
import type { Engine } from "../engine/engine.js";
import { checkRoom } from "../reports/free-space.js";
import type { RunRecord } from "../reports/run-folder.js";
import type { Processor } from "./data/processor.js";

/** Tokenizer and processor files by name. */
export type ProcessorFiles = ReadonlyMap<string, Uint8Array>;

/** Read when a run opens: its model folder may be moved or pruned by another run before the first checkpoint. */
export async function readProcessorFiles(processor: Processor, model_path: string): Promise<ProcessorFiles> {
  const read = async (name: string): Promise<[string, Uint8Array]> => [name, await readFile(join(model_path, name))];
  return new Map(await Promise.all(processor.files.map(read)));
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
  await mkdir(join(folder, "state"), { recursive: true });
  await engine.saveState(join(folder, "state"));
}

/** What a rank other than the first adds to a checkpoint. */
export async function saveShare(engine: Engine, folder: string): Promise<void> {
  await mkdir(join(folder, "state"), { recursive: true });
  await engine.saveState(join(folder, "state"));
}

/** A model that can be used on its own, tokenizer files included, in an existing folder. */
export async function saveModelFolder(engine: Engine, files: ProcessorFiles, folder: string): Promise<void> {
  await engine.saveModel(folder);
  for (const [name, bytes] of files) await writeFile(join(folder, name), bytes);
}

/** Headers of tensor files, configs, the cursor, and blocks that are not full. */
const slack_bytes = 2 ** 20;

/**
 * Bytes that a checkpoint takes: weights for model/, adapter/ and state/, moments and masters, tokenizer files.
 * @param optimizer_bytes of moments and masters; those held now, unless said otherwise
 */
export async function checkpointBytes(
  engine: Engine,
  files: ProcessorFiles,
  parts: SavedParts,
  optimizer_bytes?: number,
): Promise<number> {
  const memory = await engine.memory();
  const trained_bytes = 4 * engine.model.num_trainable_parameters;
  const copied = [...files.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  const in_model = parts.model ? memory.weights_bytes + copied : 0;
  const in_adapter = parts.adapter ? trained_bytes : 0;
  const in_state =
    (parts.frozen_state ? memory.weights_bytes : trained_bytes) + (optimizer_bytes ?? memory.optimizer_bytes);
  return in_model + in_adapter + in_state + slack_bytes;
}

/** Before anything is learned: a run whose first checkpoint has no room would end with nothing. */
export async function checkFirstCheckpoint(
  engine: Engine,
  files: ProcessorFiles,
  parts: SavedParts,
  record: RunRecord,
): Promise<void> {
  if (record.folder === null) return;
  const { num_trainable_parameters, dtype } = engine.model;
  const bytes_each = dtype === "float32" ? 8 : 12; // two moments, and the master of a narrower weight
  const bytes = await checkpointBytes(engine, files, parts, num_trainable_parameters * bytes_each);
  await checkRoom(join(record.folder, "checkpoints"), bytes);
}
