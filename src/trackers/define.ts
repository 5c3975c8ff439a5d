import type { Tracker } from "./tracker.js";

export type { AlarmEvent, EvaluatedEvent, StepEvent } from "../pipeline/events.js";
export type { TrackedRun, Tracker } from "./tracker.js";

/** What a module of `trackers: [{ module: ./my-tracker.ts }]` exports as its default. */
export type TrackerModule = (params: Readonly<Record<string, unknown>>) => Tracker | Promise<Tracker>;

/** Types a module's default export. */
export const defineTracker = (module: TrackerModule): TrackerModule => module;
