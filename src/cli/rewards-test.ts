import { folderOf, loadConfig } from "../config/load.js";
import { resolveRewardPaths } from "../config/rewards.js";
import { trainConfigSchema } from "../config/schema.js";
import type { Dataset } from "../datasets/dataset.js";
import { UserError } from "../errors.js";
import { locateModel } from "../hub/locate.js";
import { loadProcessor } from "../pipeline/data/processor.js";
import { openTrainingSet } from "../pipeline/open-data.js";
import { namedRewards } from "../pipeline/run.js";
import { type Grader, openGrader } from "../rewards/grader.js";
import { untilInterrupted } from "./interrupt.js";
import { numberCheck, whole } from "./numbers.js";
import { givenCases, knownCases, type RewardCase, sampledCases } from "./rewards-cases.js";
import { type GradedCase, rewardFailures, rewardsTable, rewardWarnings } from "./rewards-table.js";

export interface RewardsTestArguments {
  readonly config: string;
  readonly set: readonly string[];
  readonly rows: number;
  readonly completions: string | undefined;
  readonly sample: number;
  readonly json: boolean;
}

/** `sightloop rewards test`: fails if a reward gave no number, whatever its `on_error` says. */
export async function rewardsTest(args: RewardsTestArguments): Promise<void> {
  const check = numberCheck("rewards test", args);
  check("rows", ...whole(1));
  check("sample", ...whole(0));
  const loaded = await loadConfig(trainConfigSchema, args.config, args.set);
  const config = { ...loaded.config, rewards: resolveRewardPaths(loaded.config.rewards, folderOf(loaded)) };
  const specs = namedRewards(config).map((spec) => ({ ...spec, on_error: "zero" as const }));
  using interrupt = untilInterrupted();
  const { signal } = interrupt;
  await using grader = await openGrader(specs as ReturnType<typeof namedRewards>, {
    timeout_ms: config.reward_timeout_ms,
    workers: config.reward_workers,
  });
  const dataset = (await openTrainingSet(config.datasets.train, {
    base_folder: process.cwd(),
    hub: { signal },
  })) as Dataset;
  const model_path = await locateModel(config.model.path, { signal }, "processor").then(
    ({ path }) => path,
    () => undefined,
  );
  if (model_path === undefined && !args.json)
    console.log(
      `note: there is no model at ${config.model.path}: prompts are bare questions, and 4 characters are taken for a token`,
    );
  const processor = model_path === undefined ? undefined : await loadProcessor(model_path);
  const maker = { config, dataset, processor };
  try {
    const cases = [
      ...(args.completions === undefined
        ? await knownCases(maker, args.rows)
        : await givenCases(maker, args.completions)),
      ...(args.sample > 0 ? await sampledCases(maker, args.rows, args.sample, signal) : []),
    ];
    const graded: GradedCase[] = [];
    for (const item of cases) graded.push({ ...item, grade: await grader.grade(item.input, signal) });
    report(args, grader, graded);
  } catch (cause) {
    if (!signal.aborted || cause instanceof UserError) throw cause;
    throw new UserError("INTERRUPTED", "interrupted before every completion was graded", "Run it again.", { cause });
  }
}

function report({ json, config }: RewardsTestArguments, { names }: Grader, graded: readonly GradedCase[]): void {
  const warnings = rewardWarnings(graded);
  if (json) {
    for (const item of graded) console.log(JSON.stringify(jsonOf(item)));
    for (const message of warnings) console.log(JSON.stringify({ type: "warning", message }));
  } else {
    console.log(rewardsTable(names, graded));
    for (const warning of warnings) console.log(`warning: ${warning}`);
  }
  const failures = rewardFailures(names, graded);
  if (failures.length > 0)
    throw new UserError(
      "REWARD_FAILED",
      failures.join("\n"),
      `In a run, on_error in ${config} says what becomes of these.`,
    );
}

const jsonOf = ({ kind, input, grade }: RewardCase & GradedCase): object => ({
  ...{ type: "grade", id: input.sample.id, kind, completion: input.completion, answer: input.answer },
  ...grade,
});
