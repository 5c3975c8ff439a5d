import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { batchArithmetic, resolveOptimizer } from "../../../src/config/arithmetic.js";
import { parseConfig } from "../../../src/config/load.js";
import { sftConfigSchema, trainConfigSchema } from "../../../src/config/schema.js";

const all = readdirSync("configs", { recursive: true, encoding: "utf8" })
  .filter((name) => /\.ya?ml$/.test(name))
  .map((name) => join("configs", name));
const [files, parts] = [all.filter((file) => !isPart(file) && !isStudy(file)), all.filter(isPart)];
/** Planned in test/unit/study. */
function isStudy(file: string): boolean {
  return basename(file).startsWith("study_");
}
function isPart(file: string): boolean {
  return file.startsWith(join("configs", "parts"));
}

test("more than one config ships", () => {
  expect(files.length).toBeGreaterThan(1);
});

const load = (file: string, set: readonly string[] = []) => {
  const text = readFileSync(file, "utf8");
  const schema = /^(algorithm|extends):/m.test(text) ? trainConfigSchema : sftConfigSchema;
  return parseConfig<typeof schema>(schema, { text, file, set });
};

test.each(files)("%s is valid, and its first lines say what it needs", (file) => {
  expect(() => load(file)).not.toThrow();
  expect(readFileSync(file, "utf8").split("\n").slice(0, 6).join("\n")).toMatch(/^#.*\n(.*\n)*# Needs /);
});

describe("presets", () => {
  const names = (folder: string) =>
    parts.filter((file) => dirname(file) === join("configs", "parts", folder)).map((file) => basename(file, ".yaml"));
  const algorithms = names("algorithms");

  test("every algorithm has one of full size and a twin", () => {
    expect(algorithms).toHaveLength(9);
    for (const folder of ["configs", "configs/twins"])
      expect(files).toEqual(expect.arrayContaining(algorithms.map((name) => join(folder, `${name}.yaml`))));
  });

  test("go with every model and every dataset: 54 runs", () => {
    let count = 0;
    for (const algorithm of algorithms)
      for (const model of names("models"))
        for (const dataset of names("datasets")) {
          const part = (folder: string, name: string) => join("configs", "parts", folder, `${name}.yaml`);
          const { config, origins } = load(`configs/${algorithm}.yaml`, [
            `extends.model=${part("models", model)}`,
            `extends.dataset=${part("datasets", dataset)}`,
          ]);
          expect(origins.get("model.path")).toMatch(part("models", model));
          expect(config.datasets.train).toEqual({
            name: "jsonl",
            path: `data/${dataset}/train.jsonl`,
            ignore_keys: [],
          });
          count += 1;
        }
    expect(count).toBe(54);
  });

  test("a twin runs the algorithm of its namesake", () => {
    for (const name of algorithms.filter((one) => one !== "maye_paper"))
      expect(load(`configs/twins/${name}.yaml`).config).toMatchObject({
        algorithm: (load(`configs/${name}.yaml`).config as { algorithm: object }).algorithm,
        datasets: { train: { name: "fashion_grid" } },
      });
  });
});

const train = `
steps: 10
model: { path: m }
datasets: { train: { name: fashion_grid, count: 100 } }
prompts_per_step: 4
completions_per_prompt: 2
completions_per_update: 8
algorithm: { name: grpo }
optimizer: { learning_rate: 1e-5 }
rewards: [{ name: accuracy }]
`;
const sft = `
epochs: 2
model: { path: m }
datasets: { train: { name: jsonl, path: rows.jsonl } }
prompts_per_step: 4
optimizer: { learning_rate: 1e-5 }
`;
const parse = (schema: typeof trainConfigSchema | typeof sftConfigSchema, text: string, ...set: string[]) =>
  parseConfig<typeof schema>(schema, { text, file: "run.yaml", set }).config;

describe("good configs", () => {
  test.each([
    ["train", trainConfigSchema, train, []],
    ["sft", sftConfigSchema, sft, []],
    [
      "reinforce++ with one completion",
      trainConfigSchema,
      train,
      ["algorithm.name=reinforce_plus_plus", "completions_per_prompt=1", "completions_per_update=4"],
    ],
    ["a reference that is read", trainConfigSchema, train, ["algorithm.kl_loss_coefficient=0.1", "reference.path=r"]],
    [
      "a correction of recomputed log-probs",
      trainConfigSchema,
      train,
      ["old_logprobs=recompute", "algorithm.importance_correction.mode=mask"],
    ],
    ["dynamic sampling of any group algorithm", trainConfigSchema, train, ["algorithm.dynamic_sampling={}"]],
    ["epochs instead of steps", trainConfigSchema, train.replace("steps: 10", "epochs: 0.5"), []],
    ["warm-up by ratio", trainConfigSchema, train, ["optimizer.warmup_ratio=0.1"]],
    [
      "validation",
      trainConfigSchema,
      train,
      ["datasets.validation={name: fashion_grid, split: validation, count: 5}", "evaluate.every_steps=5"],
    ],
    [
      "a test set of its own name",
      trainConfigSchema,
      train,
      ["datasets.tests={out: {name: fashion_grid, count: 5}}", "evaluate.splits=[out]", "evaluate.every_steps=5"],
    ],
    [
      "modules, and two rewards of one kind",
      trainConfigSchema,
      train,
      [
        "rewards=[{module: ./a.ts, params: {deep: [1, {x: y}]}}, {name: length, max_tokens: 5}, {name: length, max_tokens: 9, label: long}]",
      ],
    ],
    ["weighted rewards", trainConfigSchema, train, ["rewards=[{name: accuracy}, {name: think_format, weight: 0.5}]"]],
  ] as const)("%s", (_, schema, text, set) => {
    expect(() => parse(schema, text, ...set)).not.toThrow();
  });
});

describe("bad configs", () => {
  test.each([
    ["steps and epochs", ["epochs=2"], "steps: give steps or epochs, not both"],
    [
      "an update that does not divide a step",
      ["completions_per_update=3"],
      "must divide the 8 completions of one step, got 3; nearest below: 2",
    ],
    [
      "an update larger than a step",
      ["completions_per_update=9"],
      "must divide the 8 completions of one step, got 9; nearest below: 8",
    ],
    ["a group of one", ["completions_per_prompt=1", "completions_per_update=4"], "needs at least 2, got 1"],
    ["a reference that nothing reads", ["reference.path=r"], "is never read"],
    ["a frozen model", ["model.train_language_model=false"], "nothing is trained"],
    ["evaluation of nothing", ["evaluate.every_steps=5"], "needs one of datasets.validation"],
    ["an unknown split", ["evaluate.splits=[out]"], '"out" is neither validation nor test nor one of datasets.tests'],
    ["a test set named as a split", ["datasets.tests={test: {name: fashion_grid, count: 1}}"], "datasets.tests"],
    ["no reward", ["rewards=[]"], "at least one reward is needed"],
    ["a reward twice", ["rewards=[{name: accuracy}, {name: accuracy}]"], 'reward "accuracy" is listed twice'],
    [
      "an unknown reward",
      ["rewards=[{name: acuracy}]"],
      'rewards.0.name: is "acuracy"; expected one of accuracy, think_format, language, length, overlong, no_eos, remote, judge_model, custom',
    ],
    [
      "a reward's unknown key",
      ["rewards=[{name: accuracy, tolerence: 1}]"],
      'rewards.0.tolerence: unknown key; did you mean "tolerance"?',
    ],
    [
      "a module's unknown key",
      ["rewards=[{module: a.ts, name: mine, wieght: 1}]"],
      'rewards.0.wieght: unknown key; did you mean "weight"?',
    ],
    [
      "a module's wrong weight",
      ["rewards=[{module: a.ts, weight: much}]"],
      'rewards.0.weight: expected number, got "much"',
    ],
    [
      "a module of another kind",
      ["rewards=[{module: a.py}]"],
      "rewards.0.module: a .ts, .mts, .cts, .js, .mjs or .cjs file",
    ],
    ["a module named twice", ["rewards=[{module: a.ts}, {module: b/a.ts}]"], 'reward "a" is listed twice'],
    [
      "no such policy",
      ["rewards=[{name: accuracy, on_error: ignore}]"],
      'expected one of "fail"|"zero"|"mask", got "ignore"',
    ],
    [
      "a punishment without a zone",
      ["rewards=[{name: overlong, cache_tokens: 1024}]"],
      "rewards.0.cache_tokens: must be below the limit it counts back from, 1024 tokens",
    ],
    [
      "bounds the wrong way round",
      ["rewards=[{name: length, min_tokens: 9, max_tokens: 8}]"],
      "rewards.0.min_tokens: is above max_tokens, 8",
    ],
    ["a remote reward without a server", ["rewards=[{name: remote}]"], "rewards.0.url: is missing"],
    ["no worker", ["reward_workers=0"], "reward_workers: expected number to be >0, got 0"],
    [
      "an unknown dataset",
      ["datasets.train.name=coco"],
      "expected one of fashion_grid, geometry_figures, jsonl, llama_factory, parquet, custom",
    ],
    ["greedy sampling", ["sampling.temperature=0"], "sampling.temperature"],
    ["top-p over 1", ["sampling.top_p=1.1"], "sampling.top_p"],
    [
      "both warm-ups",
      ["optimizer.warmup_ratio=0.1", "optimizer.warmup_steps=3"],
      "give warmup_steps or warmup_ratio, not both",
    ],
    ["an unknown schedule", ["optimizer.schedule=cosin"], 'expected one of "constant"|"linear"|"cosine"'],
    ["a key of another algorithm", ["algorithm.gamma=1"], "algorithm.gamma: unknown key"],
    ["a switch that an algorithm fixes", ["algorithm={name: dr_grpo, advantage_scale: group}"], "unknown key"],
    ["dynamic sampling without groups", ["algorithm.name=dapo", "completions_per_prompt=1"], "dapo compares"],
    [
      "a correction of nothing",
      ["algorithm.importance_correction={}"],
      "compares the recorded log-probs with recomputed ones: set old_logprobs: recompute",
    ],
    [
      "a cap below 1",
      ["old_logprobs=recompute", "algorithm.importance_correction.cap=0.5"],
      "algorithm.importance_correction.cap",
    ],
    ["an estimator of nothing", ["algorithm.kl_loss_estimator=k2"], "is never read: kl_loss_coefficient is 0"],
    ["an unbiased nothing", ["algorithm.kl_loss_unbiased=true"], "is never read: kl_loss_coefficient is 0"],
    ["a reward's estimator", ["algorithm.kl_reward_estimator=k3"], "is never read: kl_reward_coefficient is 0"],
    ["an unknown estimator", ["algorithm.kl_loss_estimator=k4"], 'expected one of "k1"|"k2"|"k3"'],
    ["a dual clip of 1", ["algorithm.dual_clip=1"], "algorithm.dual_clip"],
    ["a clamp that overflows", ["algorithm.log_ratio_clamp=100"], "algorithm.log_ratio_clamp"],
    [
      "blocks without a size",
      ["algorithm={name: reinforce_plus_plus, loss_aggregation: block_token_mean}"],
      "block_token_mean needs it",
    ],
    [
      "a size without blocks",
      ["algorithm={name: reinforce_plus_plus, loss_block_completions: 2}"],
      "is never read: loss_aggregation is token_mean",
    ],
    [
      "a mean that is not subtracted, added back",
      ["algorithm={name: reinforce_plus_plus, whiten_shift_mean: true, advantage_centre: none}"],
      "is never read: advantage_centre is none",
    ],
    [
      "whitening of nothing",
      ["algorithm={name: reinforce_plus_plus, whiten_completions: 2, advantage_centre: group, advantage_scale: none}"],
      "is never read",
    ],
    ["too many prompts to replace", ["algorithm={name: dapo, dynamic_sampling: {max_prompts_factor: 0.5}}"], ">=1"],
    ["two settings of one name", ["evaluate.settings=[{name: a}, {name: a}]"], "two settings have the same name"],
    ["a negative seed", ["seed=-1"], "seed"],
    ["a fraction of a step", ["steps=1.5"], "steps"],
  ])("%s", (_, set, message) => {
    expect(() => parse(trainConfigSchema, train, ...set)).toThrow(message);
  });

  test("sft without steps or epochs", () => {
    expect(() => parse(sftConfigSchema, sft.replace("epochs: 2", ""))).toThrow("give steps or epochs");
  });
});

describe("arithmetic", () => {
  const keys = {
    prompts_per_step: 4,
    completions_per_prompt: 2,
    completions_per_update: 4,
    tokens_per_microbatch: 100,
  };

  test("of the four batch keys", () => {
    expect(batchArithmetic({ ...keys, steps: 10, update_epochs: 3 }, 20)).toEqual({
      ...keys,
      steps: 10,
      completions_per_step: 8,
      optimizer_steps_per_step: 6,
      optimizer_steps: 60,
      epochs: 2,
    });
  });

  test("rounds the last step of an epoch up", () => {
    expect(batchArithmetic({ ...keys, epochs: 1 }, 21).steps).toBe(6);
  });

  test("of data without an end needs steps", () => {
    expect(() => batchArithmetic({ ...keys, epochs: 1 }, undefined)).toThrow("passes cannot be counted");
    expect(batchArithmetic({ ...keys, steps: 2 }, undefined).epochs).toBeUndefined();
  });

  test("a warm-up ratio becomes optimizer steps", () => {
    const { optimizer } = trainConfigSchema.parse(parse(trainConfigSchema, train, "optimizer.warmup_ratio=0.1"));
    expect(resolveOptimizer(optimizer, 57)).toMatchObject({ warmup_steps: 6, total_steps: 57 });
  });
});
