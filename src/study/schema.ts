import { z } from "zod";
import { count, size } from "../config/sections.js";
import { datasetSchema } from "../datasets/registry.js";

const name = z.string().regex(/^[a-z0-9][a-z0-9_-]*$/, "lower-case letters, digits, '_' and '-' only");
/** Dotted key -> value, as `--set` takes them. */
const overrides = z.record(
  z.string().regex(/^[a-z_0-9]+(\.[a-z_0-9]+)*$/i, "a dotted key, like optimizer.epsilon"),
  z.unknown(),
);

const initSchema = z.strictObject({
  /** One of the package's configs/models; this or `config`. */
  preset: z.string().min(1).optional(),
  config: z.string().min(1).optional(),
});

const sampleSchema = z.strictObject({
  /** A folder or a model of the hub; absent: the model of `from`. */
  model: z.string().min(1).optional(),
  dataset: datasetSchema,
  completions_per_prompt: count.default(8),
  /** Different right completions kept of a prompt, at most. */
  keep: count.default(1),
  temperature: z.number().nonnegative().default(1),
  top_p: z.number().positive().max(1).default(1),
  max_completion_tokens: count.default(1024),
  max_prompt_tokens: count.default(4096),
  max_concurrent_completions: count.default(64),
});

const file = z.string().min(1);

/** One bar of the comparison, or a step on the way to one: exactly one of the first five keys says what is done. */
export const entrySchema = z
  .strictObject({
    /** Make a model with random weights. */
    init: initSchema.optional(),
    /** Config file of a supervised fine-tuning, from the study's folder on. */
    sft: file.optional(),
    /** Config file of a reinforcement learning. */
    train: file.optional(),
    /** Sample right completions: a dataset of solutions for `data`. */
    sample: sampleSchema.optional(),
    /** The evaluation of that entry before its first step: the model that it starts from. Nothing is run. */
    start_of: name.optional(),
    /** The entry whose model this one starts from; the same seed's. */
    from: name.optional(),
    /** The `sample` entry whose dataset is trained on. */
    data: name.optional(),
    set: overrides.default({}),
    /** In the tables; null keeps the entry out of them. */
    label: z.string().min(1).nullable().optional(),
  })
  .superRefine((entry, context) => {
    const issue = (path: string[], message: string): void => context.addIssue({ code: "custom", path, message });
    const kinds = entry_kinds.filter((kind) => entry[kind] !== undefined);
    if (kinds.length !== 1)
      issue([], `needs exactly one of ${entry_kinds.join(", ")}; has ${kinds.join(" and ") || "none"}`);
    if (entry.start_of !== undefined && (entry.from !== undefined || entry.data !== undefined))
      issue(["start_of"], "runs nothing, so it takes no from and no data");
    if (entry.init !== undefined && entry.from !== undefined) issue(["from"], "init starts from nothing");
    if (entry.data !== undefined && entry.sft === undefined) issue(["data"], "is for sft entries");
    if (entry.sample !== undefined && (entry.from === undefined) === (entry.sample.model === undefined))
      issue(["sample"], "needs from or sample.model, one of the two");
    if (entry.init !== undefined && (entry.init.preset === undefined) === (entry.init.config === undefined))
      issue(["init"], "needs preset or config, one of the two");
    if (entry.sft === undefined && entry.train === undefined && Object.keys(entry.set).length > 0)
      issue(["set"], "is for sft and train entries");
  });
export const entry_kinds = ["init", "sft", "train", "sample", "start_of"] as const;
export type EntryKind = (typeof entry_kinds)[number];
export type Entry = z.infer<typeof entrySchema>;

const share = z.number().gt(0).lt(1);

const reportSchema = z.strictObject({
  /** The entry that others are compared with; null: the first one in the tables. */
  baseline: name.nullable().default(null),
  /** Further pairs of entries to compare; beside each entry against the baseline, and each train entry against each sft entry. */
  compare: z.array(z.tuple([name, name])).default([]),
  /** Of evaluate.settings, the one that tests and findings look at; null: the first. */
  setting: z.string().min(1).nullable().default(null),
  /** Splits drawn as the training set is, and splits that are not: for the finding on generalization. */
  in_distribution: z.array(z.string()).default([]),
  out_of_distribution: z.array(z.string()).default([]),
  /** Of the whole table, by Holm's correction. */
  alpha: share.default(0.05),
  power: share.default(0.8),
  /** Guesses for the detectable difference: share of items that one of two models alone gets right, and deviation over seeds. */
  discordant_share: share.default(0.3),
  seed_std: z.number().nonnegative().lt(1).default(0.02),
});

/** `sightloop study`: entries x seeds x grid. */
export const studySchema = z.strictObject({
  name,
  /** Where everything is written; null: runs/<name>. */
  folder: z.string().min(1).nullable().default(null),
  seeds: z
    .array(z.int().nonnegative())
    .min(1, "at least one seed is needed")
    .refine((seeds) => new Set(seeds).size === seeds.length, "a seed is listed twice"),
  /** Processes that run at once. */
  jobs: count.default(1),
  /** CPU threads of each; 0 divides the cores among the jobs. */
  threads: size.default(0),
  /** Over the config of every sft and train entry, under the entry's own. */
  set: overrides.default({}),
  /** Axes by name, values by name, each with overrides: every entry is run for every combination. */
  grid: z.record(name, z.record(name, overrides)).default({}),
  entries: z
    .record(name, entrySchema)
    .refine((entries) => Object.values(entries).some(({ sft, train }) => sft ?? train), "no entry trains anything"),
  report: reportSchema.prefault({}),
});
export type StudyConfig = z.infer<typeof studySchema>;
