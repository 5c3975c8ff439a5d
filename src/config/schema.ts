import { z } from "zod";
import { datasetSchema } from "../datasets/registry.js";
import { algorithmSchema, comparesGroup, dynamicSamplingOf, needsReference } from "./algorithms.js";
import { checkBest } from "./best-checkpoint.js";
import { paritySchema } from "./health.js";
import { loraContradiction } from "./lora.js";
import { checkRewards, rewardsSchema } from "./rewards.js";
import { common, count, optimizerSchema, samplingSchema } from "./sections.js";
import { splitDataset, unknownSplit } from "./splits.js";

const offload_on_cpu = "has no meaning with device: cpu, where everything is in host memory: leave it out";

type Issue = (path: (string | number)[], message: string) => void;

/** Samples that a program hands over (src/index.ts); a file cannot name them. */
const customDataset = z.strictObject({ name: z.literal("custom") });

const datasetsSchema = z.strictObject({
  train: z.discriminatedUnion("name", [datasetSchema, customDataset]),
  validation: datasetSchema.nullable().default(null),
  test: datasetSchema.nullable().default(null),
  /** Further test sets, evaluated where `evaluate.splits` names them. */
  tests: z
    .record(z.string().regex(/^(?!(?:train|validation|test)$)[a-z0-9][a-z0-9_-]*$/, "a name of its own"), datasetSchema)
    .default({}),
});

/** One run of reinforcement learning: `sightloop train`. */
export const trainConfigSchema = z
  .strictObject({
    ...common,
    reference: z
      .strictObject({
        /** Weights of the reference; null takes a frozen copy of the model at the start. */
        path: z.string().min(1).nullable().default(null),
        /** Keep in host memory what it does not share with the policy, and on the device only while it scores; not with device: cpu. */
        offload: z.boolean().default(false),
      })
      .prefault({}),
    datasets: datasetsSchema,
    prompts_per_step: count,
    completions_per_prompt: count,
    /** Completions per optimizer step. */
    completions_per_update: count,
    /** Tokens computed at once; whole groups are packed up to it. Changes speed and memory, not the result. */
    tokens_per_microbatch: count.default(16384),
    /** Passes over one step's completions. */
    update_epochs: count.default(1),
    sampling: samplingSchema.prefault({}),
    algorithm: algorithmSchema,
    /** Old log-probs of the ratio: those recorded while sampling, or computed again before the update. */
    old_logprobs: z.enum(["rollout", "recompute"]).default("rollout"),
    parity: paritySchema.prefault({}),
    optimizer: optimizerSchema,
    rewards: rewardsSchema,
    /** Wall-clock time of one reward for one completion; those that ask a server have their own. */
    reward_timeout_ms: count.default(10_000),
    /** Threads that compute rewards, beside the engine's. */
    reward_workers: count.max(256).default(2),
  })
  .superRefine((config, context) => {
    const issue: Issue = (path, message) => context.addIssue({ code: "custom", path, message });
    checkCommon(config, issue);
    const completions = config.prompts_per_step * config.completions_per_prompt;
    checkDivides(config.completions_per_update, completions, issue);
    const { algorithm, completions_per_prompt } = config;
    if ((comparesGroup(algorithm) || dynamicSamplingOf(algorithm) !== null) && completions_per_prompt < 2)
      issue(
        ["completions_per_prompt"],
        `${algorithm.name} compares the completions of one prompt with each other: needs at least 2, got ${completions_per_prompt}`,
      );
    if (algorithm.importance_correction !== null && config.old_logprobs !== "recompute")
      issue(
        ["algorithm", "importance_correction"],
        "compares the recorded log-probs with recomputed ones: set old_logprobs: recompute",
      );
    if (config.reference.path !== null && !needsReference(config.algorithm))
      issue(["reference", "path"], "is never read: every KL coefficient of the algorithm is 0");
    if (config.reference.offload && !needsReference(config.algorithm))
      issue(["reference", "offload"], "there is no reference: every KL coefficient of the algorithm is 0");
    if (config.reference.offload && config.device === "cpu") issue(["reference", "offload"], offload_on_cpu);
    checkRewards(config.rewards, config.sampling.max_completion_tokens, issue);
  });
export type TrainConfig = z.infer<typeof trainConfigSchema>;

/** Supervised fine-tuning on the datasets' solutions: `sightloop sft`. */
export const sftConfigSchema = z
  .strictObject({
    ...common,
    datasets: datasetsSchema,
    prompts_per_step: count,
    /** Solutions per optimizer step; null takes the whole step. */
    completions_per_update: count.nullable().default(null),
    tokens_per_microbatch: count.default(16384),
    /** Longer solutions are an error that names the sample. Also the limit when evaluating. */
    max_completion_tokens: count.default(1024),
    loss_aggregation: z.enum(["token_mean", "sequence_mean", "constant"]).default("token_mean"),
    /** Completions decoded together when evaluating. */
    max_concurrent_completions: count.default(64),
    optimizer: optimizerSchema,
  })
  .superRefine((config, context) => {
    const issue: Issue = (path, message) => context.addIssue({ code: "custom", path, message });
    checkCommon(config, issue);
    checkDivides(config.completions_per_update ?? config.prompts_per_step, config.prompts_per_step, issue);
  });
export type SftConfig = z.infer<typeof sftConfigSchema>;

function checkCommon(
  config: Pick<
    SftConfig,
    | "steps"
    | "epochs"
    | "model"
    | "evaluate"
    | "datasets"
    | "checkpoint"
    | "deterministic"
    | "device"
    | "shard_parameters"
    | "shard_optimizer"
    | "activation_checkpointing"
    | "optimizer"
  >,
  issue: Issue,
): void {
  if ((config.steps === undefined) === (config.epochs === undefined))
    issue(["steps"], config.steps === undefined ? "give steps or epochs" : "give steps or epochs, not both");
  const { train_vision_tower, train_connector, train_language_model } = config.model;
  if (!train_vision_tower && !train_connector && !train_language_model)
    issue(["model"], "nothing is trained: set train_language_model, train_connector or train_vision_tower");
  for (const needed of ["activation_checkpointing", "shard_optimizer"] as const)
    if (config.shard_parameters && !config[needed]) issue(["shard_parameters"], `needs ${needed}: true`);
  if (config.deterministic === "batch_invariant" && config.model.dtype !== "float32")
    issue(["deterministic"], `batch_invariant needs model.dtype: float32, got ${config.model.dtype}`);
  if (config.deterministic === "batch_invariant" && config.model.lora !== null)
    issue(["deterministic"], "batch_invariant is not there for model.lora: set deterministic: run, or lora: null");
  if (config.deterministic === "batch_invariant" && config.device === "cuda")
    issue(["deterministic"], "batch_invariant is made for the CPU: set device: cpu, or deterministic: run");
  if (config.optimizer.offload && config.device === "cpu") issue(["optimizer", "offload"], offload_on_cpu);
  const contradiction = loraContradiction(config.model);
  if (contradiction !== undefined) issue(contradiction.path, contradiction.message);
  const { every_steps, splits } = config.evaluate;
  const unknown = unknownSplit(config.datasets, splits);
  if (unknown !== undefined)
    issue(["evaluate", "splits"], `"${unknown}" is neither validation nor test nor one of datasets.tests`);
  checkBest(config, issue);
  if (every_steps > 0 && !splits.some((split) => splitDataset(config.datasets, split) !== null))
    issue(
      ["evaluate", "every_steps"],
      `needs one of datasets.${splits.join(", datasets.")}; set it, or every_steps: 0`,
    );
}

function checkDivides(update: number, step: number, issue: Issue): void {
  if (step % update === 0) return;
  let below = Math.min(update, step);
  while (step % below !== 0) below -= 1;
  issue(
    ["completions_per_update"],
    `must divide the ${step} completions of one step, got ${update}; nearest below: ${below}`,
  );
}
