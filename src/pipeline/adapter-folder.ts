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
