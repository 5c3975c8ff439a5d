import type { Options } from "cli-progress";

/** Of every bar. */
export const barOptions = {
  stream: process.stderr,
  clearOnComplete: true,
  hideCursor: true,
  barsize: 24,
  fps: 8,
  linewrap: false,
} satisfies Options;
