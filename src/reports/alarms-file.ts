import { appendFile } from "node:fs/promises";
import type { AlarmEvent } from "../pipeline/events.js";
import { readLines } from "./metrics-file.js";
import { writeAtomically } from "./files.js";

/** alarms.jsonl: one line for every alarm raised or cleared. The file is not there while there is none. */
export const appendAlarm = (path: string, event: AlarmEvent): Promise<void> =>
  appendFile(path, `${JSON.stringify(event)}\n`);

export const readAlarms = async (path: string): Promise<readonly AlarmEvent[]> =>
  (await readLines(path)).filter((line) => line["type"] === "alarm") as unknown as readonly AlarmEvent[];

/** Keeps what was said up to `step`. */
export async function truncateAlarms(path: string, step: number): Promise<void> {
  const alarms = await readAlarms(path);
  const kept = alarms.filter((alarm) => alarm.step <= step);
  if (alarms.length > 0) await writeAtomically(path, kept.map((alarm) => `${JSON.stringify(alarm)}\n`).join(""));
}
