import { cp, readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Dtype, OpenOptions } from "../engine/engine.js";
import { initModel } from "../engine/init.js";
import { UserError } from "../errors.js";
import { readJson } from "../pipeline/data/checkpoint-files.js";
import { newFolder } from "./new-folder.js";

/** The package's own folder: presets and data are found from here, whatever the working directory. */
export const package_folder = fileURLToPath(new URL("../../", import.meta.url));
const presets_folder = join(package_folder, "configs", "models");
const processors_folder = join(package_folder, "configs", "processors");

/** In a preset's folder: `{ "processor": name }`, the folder whose files it shares with other presets. */
const preset_file = "preset.json";

export async function presetFolder(args: {
  preset?: string | undefined;
  config?: string | undefined;
}): Promise<string> {
  if ((args.preset === undefined) === (args.config === undefined))
    throw new UserError(
      "CONFIG_INVALID",
      "init needs --preset or --config, one of the two",
      `Presets: ${await presets()}.`,
    );
  if (args.config !== undefined) {
    const folder = (await isFile(args.config)) ? dirname(args.config) : args.config;
    if (await isFile(join(folder, "config.json"))) return folder;
    throw new UserError(
      "FILE_NOT_FOUND",
      `${join(folder, "config.json")} does not exist`,
      "Name a folder in the Hugging Face layout.",
    );
  }
  const folder = join(presets_folder, args.preset!);
  if (basename(folder) === args.preset && (await isFile(join(folder, "config.json")))) return folder;
  throw new UserError("CONFIG_INVALID", `there is no preset "${args.preset}"`, `Presets: ${await presets()}.`);
}

const presets = async (): Promise<string> =>
  (await readdir(presets_folder).catch((): string[] => [])).sort().join(", ") || "none";

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (status) => status.isFile(),
    () => false,
  );

export interface InitFolderOptions extends OpenOptions {
  /** undefined: what config.json says, or float32. */
  readonly dtype?: Dtype | undefined;
}

/** Copies all but weights, then writes random ones; the folder appears when it is complete, or not at all. */
export async function initFolder(
  source: string,
  output: string,
  seed: number,
  { dtype, ...opening }: InitFolderOptions = {},
): Promise<{ num_parameters: number; dtype: Dtype }> {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new UserError("CONFIG_INVALID", `--seed must be a whole number from 0 on, got ${seed}`, "Try --seed 0.");
  return newFolder(output, async (folder) => {
    for (const [name, path] of await modelFiles(source)) await cp(path, join(folder, name), { recursive: true });
    const chosen = dtype ?? (await configDtype(folder));
    return { ...(await initModel(folder, { seed, dtype: chosen }, opening)), dtype: chosen };
  });
}

/** Paths of a model's files by name, all but weights: a folder's own, over those it shares. */
export async function modelFiles(source: string): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for (const folder of [await sharedFolder(source), source])
    for (const name of folder === undefined ? [] : await readdir(folder))
      if (/\.(json|jinja|txt)$/.test(name) && !name.includes(".safetensors") && name !== preset_file)
        files.set(name, join(folder!, name));
  return files;
}

/** Only presets of this package say where their other files are; a user's folder holds its own. */
async function sharedFolder(source: string): Promise<string | undefined> {
  if (dirname(source) !== presets_folder || !(await isFile(join(source, preset_file)))) return undefined;
  const { processor } = JSON.parse(await readFile(join(source, preset_file), "utf8")) as { processor: string };
  return join(processors_folder, processor);
}

async function configDtype(folder: string): Promise<Dtype> {
  const config = await readJson(folder, "config.json");
  return (config?.["dtype"] ?? config?.["torch_dtype"]) === "bfloat16" ? "bfloat16" : "float32";
}
