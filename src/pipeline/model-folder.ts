import { stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.js";

const adapterFiles = ["adapter_config.json", "adapter_model.safetensors"];

/** @throws UserError FILE_NOT_FOUND unless the folder holds an adapter in PEFT's format */
export async function checkAdapterFolder(path: string): Promise<void> {
  for (const name of [".", ...adapterFiles]) {
    if ((await stat(join(path, name)).catch(() => undefined)) !== undefined) continue;
    const missing = name === "." ? "does not exist" : `holds no ${name}`;
    throw new UserError(
      "FILE_NOT_FOUND",
      `the adapter folder ${path} ${missing}`,
      "Name a folder in PEFT's format: adapter/ of a checkpoint, or what PEFT's save_pretrained has written as safetensors.",
    );
  }
}

/** A path that leads nowhere deserves a plainer message than the first file missing in it. */
export async function checkModelFolder(path: string): Promise<void> {
  const status = await stat(path).catch(() => undefined);
  if (status?.isDirectory() === true) return;
  throw new UserError(
    "FILE_NOT_FOUND",
    status === undefined ? `the model folder ${path} does not exist` : `the model ${path} is a file, not a folder`,
    "Name a folder in the Hugging Face layout (config.json, *.safetensors, tokenizer.json); `sightloop init` makes one.",
  );
}
