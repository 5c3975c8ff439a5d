import type { EvaluationResult } from "../evaluate/result.js";
import { duration, percent, table } from "./format.js";

export interface DemoResults {
  readonly random: readonly EvaluationResult[];
  readonly sft: readonly EvaluationResult[];
  readonly rl: readonly EvaluationResult[];
}

interface Paths {
  readonly folder: string;
  readonly sft_model: string;
  readonly rl_model: string;
  readonly seconds: number;
}

const stages = { random: "random weights", sft: "after SFT", rl: "after RL" } as const;
const setting_labels: Readonly<Record<string, string>> = {
  greedy: "greedy",
  t1: "sampled, T = 1",
  worked: "greedy, worked style forced",
};

/** The demo's result: a table, what the gain consists of, and where everything lies. */
export function demoReport(results: DemoResults, paths: Paths): string {
  const rows = Object.entries(setting_labels).flatMap(([setting, label]) =>
    (Object.keys(stages) as (keyof DemoResults)[]).flatMap((stage) => {
      const result = results[stage].find((candidate) => candidate.setting === setting);
      if (result === undefined) return [];
      const [low, high] = result.interval;
      return [
        [
          `${stages[stage]}, ${label}`,
          percent(result.accuracy),
          `${percent(low)} to ${percent(high)}`,
          String(result.num_items),
          `${result.mean_completion_length.toFixed(1)} tokens`,
        ],
      ];
    }),
  );
  return [
    "Accuracy of the total on 2x2 grids of photos from the official test split, never trained on:",
    "",
    table(["model and setting", "accuracy", "95 % interval", "items", "mean completion"], rows),
    "",
    gainSentence(results),
    "",
    `Written in ${duration(paths.seconds)} (minutes:seconds):`,
    `  ${paths.folder}/sft, ${paths.folder}/rl   config.yaml, manifest.json, metrics.jsonl, rollouts/, images/, checkpoints/`,
    `  ${paths.sft_model}   the warm start (Hugging Face layout)`,
    `  ${paths.rl_model}   the trained model (Hugging Face layout)`,
    `  ${paths.folder}/report.txt   this table`,
  ].join("\n");
}

/** How much of RL's gain is the choice to work the answer out, and how much is doing so better. */
export function gainSentence({ sft, rl }: DemoResults): string {
  const accuracy = (stage: readonly EvaluationResult[], setting: string): number =>
    stage.find((result) => result.setting === setting)?.accuracy ?? Number.NaN;
  const points = (share: number): string => `${(100 * share).toFixed(1)} points`;
  const gain = accuracy(rl, "greedy") - accuracy(sft, "greedy");
  const perception = accuracy(rl, "worked") - accuracy(sft, "worked");
  const style = gain - perception;
  const forced = `with "<think>" forced, the warm start already reaches ${percent(accuracy(sft, "worked"))} and RL ${percent(accuracy(rl, "worked"))}`;
  if (gain <= 0) return `RL changed greedy accuracy by ${points(gain)}; ${forced}.`;
  return (
    `RL gained ${points(gain)} of greedy accuracy: ${points(style)} by choosing to work the answer out (working style), ` +
    `${points(perception)} by better perception or arithmetic (${forced}).`
  );
}
