import { type FileHandle, open } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import type { EvaluatedEvent } from "../pipeline/events.js";
import { makeFolder } from "../reports/files.js";
import { event, type Scalar } from "./tensorboard/event.js";
import { record } from "./tensorboard/record.js";
import type { Tracker } from "./tracker.js";

/**
 * Event files for TensorBoard: metrics as `train/<name>`, evaluations as `<split>/<setting>/<quantity>`, the config as a
 * text. A resumed run opens a new file, which tells TensorBoard to forget the steps after the checkpoint.
 */
export function tensorboardTracker(folder: string): Tracker {
  let file: FileHandle | undefined;
  const write = async (...events: Uint8Array[]): Promise<void> => {
    await file!.appendFile(Buffer.concat(events.map(record)));
  };
  return {
    start: async ({ config, resumed_step }) => {
      await makeFolder(folder);
      const now = Date.now();
      const name = `events.out.tfevents.${Math.floor(now / 1000)}.${hostname()}.${process.pid}.${now % 1000}`;
      file = await open(join(folder, name), "ax");
      await write(event.version());
      if (resumed_step > 0) await write(event.restart(resumed_step + 1));
      else await write(event.text(0, "config", `\`\`\`yaml\n${stringify(config)}\n\`\`\``));
    },
    step: ({ step, metrics }) =>
      write(
        event.scalars(
          step,
          Object.entries(metrics).map(([name, value]) => [`train/${name}`, value]),
        ),
      ),
    evaluated: (evaluated) => write(event.scalars(evaluated.step, evaluationScalars(evaluated))),
    finish: () => file?.close(),
  };
}

const evaluationScalars = ({ split, results }: EvaluatedEvent): readonly Scalar[] =>
  results.flatMap(({ setting, accuracy, pass_at, mean_completion_length, truncated }) => {
    const passes = Object.entries(pass_at).map(([k, value]): [string, number] => [`pass@${k}`, value]);
    const all = Object.entries({ accuracy, mean_completion_length, truncated });
    return [...all, ...passes].map(([name, value]): Scalar => [`${split}/${setting}/${name}`, value]);
  });
