import { cp, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { initModel } from "../engine/init.js";
import { UserError } from "../errors.js";
import { makeFolder, namesIn, writing } from "../reports/files.js";

/** The package's own folder: presets and data are found from here, whatever the working directory. */
export const package_folder = fileURLToPath(new URL("../../", import.meta.url));
const presets_folder = join(package_folder, "configs", "models");

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

/** Copies all but weights, then writes random ones; the folder appears when it is complete, or not at all. */
export async function initFolder(source: string, output: string, seed: number): Promise<{ num_parameters: number }> {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new UserError("CONFIG_INVALID", `--seed must be a whole number from 0 on, got ${seed}`, "Try --seed 0.");
  const target = resolve(output);
  const temporary = join(dirname(target), `.${basename(target)}.tmp-${process.pid}`);
  return writing(output, async () => {
    if ((await namesIn(target)).length > 0)
      throw new UserError("RUN_FOLDER_IN_USE", `${output} exists and is not empty`, "Choose another --output.");
    try {
      await makeFolder(temporary);
      for (const name of await readdir(source))
        if (/\.(json|jinja|txt)$/.test(name) && !name.includes(".safetensors"))
          await cp(join(source, name), join(temporary, name), { recursive: true });
      const made = await initModel(temporary, seed);
      await rm(target, { recursive: true, force: true });
      await rename(temporary, target);
      return made;
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
  });
}
