import { rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { UserError } from "../errors.js";
import { makeFolder, namesIn, writing } from "../reports/files.js";

/**
 * Makes the folder `output`, which appears when `fill` has filled it, or not at all.
 * @throws UserError RUN_FOLDER_IN_USE if it exists and is not empty
 */
export async function newFolder<T>(output: string, fill: (folder: string) => Promise<T>): Promise<T> {
  const target = resolve(output);
  const temporary = join(dirname(target), `.${basename(target)}.tmp-${process.pid}`);
  return writing(output, async () => {
    if ((await namesIn(target)).length > 0)
      throw new UserError("RUN_FOLDER_IN_USE", `${output} exists and is not empty`, "Choose another --output.");
    try {
      await makeFolder(temporary);
      const made = await fill(temporary);
      await rm(target, { recursive: true, force: true });
      await rename(temporary, target);
      return made;
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
  });
}
