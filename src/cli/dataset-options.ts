import type { DeviceChoice } from "../engine/device.js";
import type { Dtype } from "../engine/engine.js";
import { adapterOption } from "./adapter.js";
import { deviceOption, dtypeOption } from "./dtype.js";
import { type numberCheck, whole } from "./numbers.js";

/** Arguments of the commands that sample completions for a dataset. */
export interface DatasetArguments {
  readonly model: string;
  readonly adapter: string | undefined;
  readonly dataset: string;
  readonly "max-items": number | undefined;
  readonly "max-completion-tokens": number;
  readonly "max-prompt-tokens": number;
  readonly "max-concurrent-completions": number;
  readonly "system-prompt": string | undefined;
  readonly dtype: Dtype;
  readonly device: DeviceChoice;
  readonly seed: number;
  readonly threads: number;
}

/** Their options, but for `dataset`. */
export const datasetOptions = {
  model: { type: "string", demandOption: true, describe: "folder in the Hugging Face layout" },
  adapter: adapterOption,
  "max-items": { type: "number", describe: "only the first ones" },
  "max-completion-tokens": { type: "number", default: 1024 },
  "max-prompt-tokens": { type: "number", default: 4096 },
  "max-concurrent-completions": { type: "number", default: 64 },
  "system-prompt": { type: "string", describe: "instead of the chat template's own" },
  dtype: dtypeOption,
  device: deviceOption,
  seed: { type: "number", default: 0 },
  threads: { type: "number", default: 0, describe: "0 takes all cores" },
} as const;

export function checkDatasetNumbers(check: ReturnType<typeof numberCheck<DatasetArguments>>): void {
  for (const option of ["seed", "threads"] as const) check(option, ...whole(0));
  for (const option of ["max-items", "max-completion-tokens", "max-prompt-tokens"] as const) check(option, ...whole(1));
  check("max-concurrent-completions", ...whole(1));
}
