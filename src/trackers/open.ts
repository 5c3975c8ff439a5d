import { join, resolve } from "node:path";
import { UserError } from "../errors.js";
import { type Bundle, bundleModules } from "../modules/bundle.js";
import type { TrackerModule } from "./define.js";
import { isModule, namedTracker, type TrackersConfig } from "./registry.js";
import type { Tracker } from "./tracker.js";

/** A tracker and what messages call it. */
export interface NamedTracker {
  readonly name: string;
  readonly tracker: Tracker;
}

const kind = {
  noun: "tracker module",
  code: "TRACKER_INVALID",
  hint: "docs/trackers.md shows what a tracker module exports.",
} as const;

/**
 * The trackers of a config, in its order; nothing is written yet.
 * @throws UserError for a module that cannot be used, or a tracker that has nowhere to write
 */
export async function openTrackers(
  config: TrackersConfig,
  run_folder: string | null,
): Promise<readonly NamedTracker[]> {
  const modules = config.filter(isModule);
  const bundles = await bundleModules(
    modules.map(({ module }) => resolve(module)),
    kind,
  );
  const unused = [...bundles];
  const opened: NamedTracker[] = [];
  for (const [i, one] of config.entries()) {
    if (isModule(one)) {
      const bundle = unused.shift()!;
      opened.push({ name: bundle.file, tracker: await fromModule(bundle, one.params) });
      continue;
    }
    const folder = one.folder ?? (run_folder === null ? undefined : join(run_folder, one.name));
    if (folder === undefined)
      throw new UserError(
        "CONFIG_INVALID",
        `trackers.${i}: ${one.name} has nowhere to write: the run keeps no folder`,
        "Give the tracker a folder, or the run a run_folder.",
      );
    opened.push({ name: one.name, tracker: namedTracker(one.name, folder) });
  }
  return opened;
}

/** Runs in this thread, unlike a reward: a tracker holds connections, and nothing waits for its numbers. */
async function fromModule({ file, code }: Bundle, params: Readonly<Record<string, unknown>>): Promise<Tracker> {
  try {
    const url = `data:text/javascript;base64,${Buffer.from(code).toString("base64")}`;
    const { default: make } = (await import(url)) as { default?: unknown };
    if (typeof make !== "function") throw new TypeError("its default export is not a function");
    const tracker: unknown = await (make as TrackerModule)(params);
    if (typeof tracker !== "object" || tracker === null) throw new TypeError("its function returns no tracker");
    return tracker;
  } catch (cause) {
    throw new UserError(kind.code, `${kind.noun} ${file} cannot be used: ${String(cause)}`, kind.hint, { cause });
  }
}
