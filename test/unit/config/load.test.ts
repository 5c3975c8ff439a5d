import { describe, expect, test } from "vitest";
import { z } from "zod";
import { folderOf, leaves, parseConfig } from "../../../src/config/load.js";
import { UserError } from "../../../src/errors.js";

const schema = z.strictObject({
  seed: z.int().default(0),
  optimizer: z.strictObject({ learning_rate: z.number(), max_grad_norm: z.number().nullable().default(1) }),
  rewards: z.array(z.strictObject({ name: z.string(), weight: z.number().default(1) })).default([]),
  algorithm: z
    .discriminatedUnion("name", [
      z.strictObject({ name: z.literal("grpo") }),
      z.strictObject({ name: z.literal("rpp") }),
    ])
    .default({ name: "grpo" }),
});

const file = "run.yaml";
const text = "optimizer:\n  learning_rate: 1e-5\nrewards:\n  - name: accuracy\n";
const load = (yaml: string, ...set: string[]) => parseConfig(schema, { text: yaml, file, set });

function problem(yaml: string, ...set: string[]): UserError {
  try {
    load(yaml, ...set);
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error("no problem was found");
}

describe("values", () => {
  test("come from the file, --set and the defaults, and say so", () => {
    const { config, origins } = load(text, "seed=3", "rewards.0.weight=0.5");
    expect(config).toEqual({
      seed: 3,
      optimizer: { learning_rate: 1e-5, max_grad_norm: 1 },
      rewards: [{ name: "accuracy", weight: 0.5 }],
      algorithm: { name: "grpo" },
    });
    expect(Object.fromEntries(origins)).toEqual({
      seed: "--set seed=3",
      "optimizer.learning_rate": "run.yaml:2",
      "optimizer.max_grad_norm": "default",
      "rewards.0.name": "run.yaml:4",
      "rewards.0.weight": "--set rewards.0.weight=0.5",
      "algorithm.name": "default",
    });
  });

  test.each([
    ["optimizer.learning_rate=1e-6", 1e-6],
    ["optimizer.learning_rate=0.5", 0.5],
    ["optimizer={learning_rate: 2}", 2],
  ])("--set %s is read by YAML's rules", (set, expected) => {
    expect(load(text, set).config.optimizer.learning_rate).toBe(expected);
  });

  test("null can be set, and the last --set wins", () => {
    const { config, origins } = load(text, "optimizer.max_grad_norm=2", "optimizer.max_grad_norm=null");
    expect(config.optimizer.max_grad_norm).toBeNull();
    expect(origins.get("optimizer.max_grad_norm")).toBe("--set optimizer.max_grad_norm=null");
  });

  test("a block set as a whole replaces keys set before it", () => {
    const { origins } = load(text, "optimizer.learning_rate=3", "optimizer={learning_rate: 2}");
    expect(origins.get("optimizer.learning_rate")).toBe("--set optimizer={learning_rate: 2}");
  });

  test("an empty file can be filled by --set alone", () => {
    expect(load("", "optimizer.learning_rate=1").config.optimizer.learning_rate).toBe(1);
  });

  test("leaves stop at lists of scalars and at empty collections", () => {
    expect([...leaves({ a: [1, 2], b: [], c: { d: {} }, e: undefined })]).toEqual([
      [["a"], [1, 2]],
      [["b"], []],
      [["c", "d"], {}],
    ]);
  });
});

test("a relative path starts at the file that gives it, one of --set at the current folder", () => {
  const yaml = `${text}    weight: 2\n`;
  const from = (...set: string[]) =>
    folderOf(parseConfig(schema, { text: yaml, file: "/configs/run.yaml", set }))("rewards.0.name");
  expect(from()).toBe("/configs");
  expect(from("seed=1")).toBe("/configs");
  expect(from("rewards.0.name=format")).toBe(process.cwd());
  expect(from("rewards=[{name: format}]")).toBe(process.cwd());
});

describe("problems", () => {
  test.each([
    ["an unknown key", `${text}sed: 1\n`, [], 'run.yaml:5: sed: unknown key; did you mean "seed"?'],
    [
      "an unknown nested key",
      "optimizer:\n  learning_rate: 1\n  warm: 2\n",
      [],
      "run.yaml:3: optimizer.warm: unknown key",
    ],
    [
      "a key in the wrong block",
      `${text}learning_rate: 1\n`,
      [],
      "run.yaml:5: learning_rate: unknown key; it belongs elsewhere",
    ],
    [
      "a wrong type",
      "optimizer:\n  learning_rate: fast\n",
      [],
      'run.yaml:2: optimizer.learning_rate: expected number, got "fast"',
    ],
    ["a missing key", "optimizer: {}\n", [], "run.yaml:1: optimizer.learning_rate: is missing; expected number"],
    ["a missing block", "seed: 1\n", [], "run.yaml: optimizer: is missing; expected object"],
    [
      "an unknown variant",
      `${text}algorithm: { name: ppo }\n`,
      [],
      'run.yaml:5: algorithm.name: is "ppo"; expected one of grpo, rpp',
    ],
    [
      "a variant without a name",
      `${text}algorithm: {}\n`,
      [],
      "run.yaml:5: algorithm.name: is missing; expected one of grpo, rpp",
    ],
    ["a value from --set", text, ["seed=x"], '--set seed=x: seed: expected number, got "x"'],
    ["--set without =", text, ["seed"], "--set seed: expected key=value"],
    ["--set into a value", text, ["seed=1", "seed.a=2"], "--set seed.a=2: seed is a value, not a block"],
    ["--set of broken YAML", text, ["seed={"], "--set seed={: the value is not valid YAML"],
    ["broken YAML", "seed: [1\noptimizer: 2\n", [], "not valid YAML"],
    ["a key given twice", "seed: 1\nseed: 2\n", [], "run.yaml:2: not valid YAML: Map keys must be unique"],
    ["a list instead of keys", "- 1\n", [], "run.yaml: config: expected object"],
  ])("%s", (_, yaml, set, message) => {
    const error = problem(yaml, ...set);
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.message).toContain(message);
    expect(error.hint).not.toBe("");
  });

  test("a short key is not taken for one of another block", () => {
    expect(problem(`${text}  - name: b\n    wame: 1\n`).message).toContain('did you mean "name"');
    expect(problem("optimizer:\n  learning_rate: 1\n  nope: 2\n").message).toBe(
      "run.yaml:3: optimizer.nope: unknown key",
    );
  });

  test("are listed together", () => {
    expect(problem("seed: a\nb: 1\n").message).toBe(
      [
        "3 problems",
        '  run.yaml:1: seed: expected number, got "a"',
        "  run.yaml: optimizer: is missing; expected object",
        "  run.yaml:2: b: unknown key",
      ].join("\n"),
    );
  });
});
