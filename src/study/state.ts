import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.js";
import { isLeftover, makeFolder, namesIn, writeAtomically, writing } from "../reports/files.js";
import { isLockFile, lockFolder } from "../reports/lock.js";

const runStateSchema = z.object({
  definition: z.string(),
  state: z.enum(["started", "finished", "failed"]),
  /** Of all its starts together. */
  seconds: z.number().nonnegative(),
  error: z.string().optional(),
});
export type RunState = z.infer<typeof runStateSchema>;

const stateSchema = z.object({ study: z.string(), runs: z.record(z.string(), runStateSchema) });

export const state_file = "study.json";

/** What a study's folder says about its runs; undefined if it is not there yet. */
export async function readState(folder: string, study: string): Promise<ReadonlyMap<string, RunState>> {
  const path = join(folder, state_file);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    if ((await namesIn(folder)).every((name) => isLockFile(name) || isLeftover(name))) return new Map();
    throw new UserError(
      "RUN_FOLDER_IN_USE",
      `${folder} is not empty and holds no study (no ${state_file})`,
      "Choose another --folder.",
    );
  }
  const parsed = stateSchema.safeParse(parsedJson(text));
  if (!parsed.success)
    throw new UserError(
      "CONFIG_INVALID",
      `${path} is damaged`,
      `Write {"study": "${study}", "runs": {}} there: every run is then looked at anew, and finished ones end at once.`,
    );
  if (parsed.data.study !== study)
    throw new UserError(
      "RUN_FOLDER_IN_USE",
      `${folder} holds the study "${parsed.data.study}", not "${study}"`,
      "Choose another --folder, or give the study its old name.",
    );
  return new Map(Object.entries(parsed.data.runs));
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Refuses a folder whose runs were made by another definition than the plan's.
 * @throws UserError CONFIG_INVALID naming them
 */
export function checkDefinitions(
  folder: string,
  runs: readonly { readonly id: string; readonly definition: string }[],
  states: ReadonlyMap<string, RunState>,
): void {
  const changed = runs.filter(({ id, definition }) => (states.get(id)?.definition ?? definition) !== definition);
  if (changed.length === 0) return;
  throw new UserError(
    "CONFIG_INVALID",
    `${folder}: ${changed.length} of its runs were made by other values than the study has now: ${changed
      .slice(0, 5)
      .map(({ id }) => id)
      .join(", ")}${changed.length > 5 ? ", ..." : ""}`,
    "Choose another --folder, take the change back, or add --redo changed to delete these runs and make them again.",
  );
}

/** The study's folder, held by this process. */
export interface StudyState extends AsyncDisposable {
  readonly runs: ReadonlyMap<string, RunState>;
  set(id: string, state: RunState): Promise<void>;
  forget(id: string): Promise<void>;
}

/** @throws UserError RUN_FOLDER_IN_USE if another process runs a study there, or it holds another one */
export async function openState(folder: string, study: string): Promise<StudyState> {
  await readState(folder, study);
  await writing(folder, () => makeFolder(folder));
  const unlock = await lockFolder(folder);
  try {
    const runs = new Map(await readState(folder, study));
    let last = Promise.resolve();
    const write = (): Promise<void> => {
      const text = `${JSON.stringify({ study, runs: Object.fromEntries(runs) }, null, 2)}\n`;
      const done = last.then(() => writing(folder, () => writeAtomically(join(folder, state_file), text)));
      last = done.catch(() => {});
      return done;
    };
    await write();
    return {
      runs,
      set: (id, state) => (runs.set(id, state), write()),
      forget: (id) => (runs.delete(id), write()),
      [Symbol.asyncDispose]: async () => {
        await last;
        await unlock();
      },
    };
  } catch (error) {
    await unlock();
    throw error;
  }
}
