import { stat } from "node:fs/promises";
import { UserError } from "../errors.js";

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
