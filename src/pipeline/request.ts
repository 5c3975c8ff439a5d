import type { z } from "zod";
import type { Sample } from "../batches/sample.js";
import { problems } from "../config/problems.js";
import { resolveRewardPaths } from "../config/rewards.js";
import { type TrainConfig, trainConfigSchema } from "../config/schema.js";
import { UserError } from "../errors.js";
import type { RewardFunction, RewardSpec, WeightedReward } from "../rewards/grader.js";
import type { RewardConfig } from "../rewards/registry.js";
import type { SampleSource } from "./data/stream.js";
import type { TrainEvent } from "./events.js";
import { runTrain } from "./run.js";

type ConfigInput = z.input<typeof trainConfigSchema>;

/** A config whose model, dataset and rewards may be a program's own. The other keys are those of a config file. */
export interface TrainRequest extends Omit<ConfigInput, "model" | "datasets" | "rewards"> {
  /** Folder in the Hugging Face layout, or the config's `model`. */
  readonly model: string | ConfigInput["model"];
  /**
   * Own samples, or a dataset by name as in a config. A list, or anything with `length` and `get`, is shuffled anew
   * every epoch; any other iterable is taken in its own order, once, and the run ends with it.
   */
  readonly dataset: SampleSource | ConfigInput["datasets"]["train"];
  /** Datasets by name, for `evaluate`. */
  readonly datasets?: Partial<Omit<ConfigInput["datasets"], "train">>;
  /** Names, own functions (a function's name is its key in the breakdown), or either with a weight. */
  readonly rewards: readonly (
    RewardConfig["name"] | ConfigInput["rewards"][number] | RewardFunction | WeightedReward
  )[];
  /** Aborting it drops the step in hand, or finishes it once it learns; then a checkpoint, and UserError INTERRUPTED. */
  readonly signal?: AbortSignal | undefined;
  /** Go on from the latest checkpoint in `run_folder`. */
  readonly resume?: boolean;
}

/** Iterate it to train. Disposing it before the end stops the run and closes the engine. */
export interface Training extends AsyncIterable<TrainEvent>, AsyncDisposable {
  /** With every default filled in. */
  readonly config: TrainConfig;
}

/**
 * Trains a model with reinforcement learning.
 * @throws UserError CONFIG_INVALID at once; other failures come while iterating
 */
export function train(request: TrainRequest): Training {
  const { model, dataset, datasets, signal, resume = false, rewards: _, ...rest } = request;
  const rewards = Array.isArray(request.rewards) ? (request.rewards as TrainRequest["rewards"]) : [];
  const samples = isSource(dataset) ? asSource(dataset) : undefined;
  const parsed = parse({
    ...rest,
    model: typeof model === "string" ? { path: model } : model,
    datasets: { ...datasets, train: samples === undefined ? dataset : { name: "custom" } },
    rewards: rewards.map(rewardInput),
  });
  const config = { ...parsed, rewards: resolveRewardPaths(parsed.rewards, () => process.cwd()) };
  const specs = rewards.map((reward, i): RewardSpec => {
    if (typeof reward === "function" || (typeof reward === "object" && "score" in reward)) return reward;
    return config.rewards[i] as RewardConfig;
  });
  const stop = new AbortController();
  const events = runTrain(
    config,
    { resume, samples, rewards: specs, base_folder: process.cwd(), command: "the same request and resume: true" },
    signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]),
  );
  return {
    config,
    [Symbol.asyncIterator]: () => events,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await events.return(undefined);
    },
  };
}

function parse(input: unknown): TrainConfig {
  const result = trainConfigSchema.safeParse(input);
  if (result.success) return result.data;
  const lines = problems(result.error, trainConfigSchema, input).map(
    ({ path, message }) => `${path.map(String).join(".") || "request"}: ${message}`,
  );
  throw new UserError("CONFIG_INVALID", lines.join("\n"), "The keys are those of a config file; see configs/.");
}

function rewardInput(reward: TrainRequest["rewards"][number], index: number): unknown {
  if (typeof reward === "string") return { name: reward };
  if (typeof reward === "function") return { name: "custom", function: reward.name || `reward_${index + 1}` };
  if ("score" in reward)
    return { name: "custom", function: reward.name, weight: reward.weight, on_error: reward.on_error };
  return reward;
}

const isSource = (dataset: TrainRequest["dataset"]): dataset is SampleSource =>
  typeof dataset === "object" &&
  dataset !== null &&
  (Symbol.iterator in dataset || Symbol.asyncIterator in dataset || "get" in dataset);

/** A list can be asked for any row, so it is shuffled like a dataset. */
function asSource(source: SampleSource): SampleSource {
  if (!Array.isArray(source)) return source;
  const samples = source as readonly Sample[];
  return { length: samples.length, get: (index) => samples[index]! };
}
