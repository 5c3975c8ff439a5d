import { resolve } from "node:path";
import { z } from "zod";
import { modulePath } from "../modules/path.js";
import { csvTracker } from "./csv.js";
import { tensorboardTracker } from "./tensorboard.js";
import type { Tracker } from "./tracker.js";

/** Where a tracker writes; null takes a folder of its own in the run folder. */
const folder = z.string().min(1).nullable().default(null);

const named = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("tensorboard"), folder }),
  z.strictObject({ name: z.literal("csv"), folder }),
]);
type NamedTracker = z.infer<typeof named>;

const moduleSchema = z.strictObject({
  /** TypeScript or JavaScript; relative to the config file. Its default export: src/trackers/define.ts. */
  module: modulePath,
  /** Handed to the module. */
  params: z.record(z.string(), z.json()).default({}),
});
export type ModuleTracker = z.infer<typeof moduleSchema>;

export const trackersSchema = z.array(z.union([named, moduleSchema])).default([]);
export type TrackersConfig = z.infer<typeof trackersSchema>;

export const isModule = (tracker: TrackersConfig[number]): tracker is ModuleTracker => "module" in tracker;

/** @param folder that exists or can be made */
export const namedTracker = (name: NamedTracker["name"], folder: string): Tracker =>
  name === "csv" ? csvTracker(folder) : tensorboardTracker(folder);

/** @param folderOf where relative paths start that stand under this key, such as `trackers.1.module` */
export const resolveTrackerPaths = (trackers: TrackersConfig, folderOf: (key: string) => string): TrackersConfig =>
  trackers.map((tracker, i) =>
    isModule(tracker) ? { ...tracker, module: resolve(folderOf(`trackers.${i}.module`), tracker.module) } : tracker,
  );
