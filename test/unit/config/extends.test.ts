import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { parseConfig } from "../../../src/config/load.js";
import { UserError } from "../../../src/errors.js";

const block = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("a"), x: z.number().default(1) }),
  z.strictObject({ name: z.literal("b"), y: z.number().default(2) }),
]);
const schema = z.strictObject({
  seed: z.int().default(0),
  optimizer: z.strictObject({ rate: z.number(), decay: z.number().nullable().default(1) }),
  list: z.array(z.number()).default([]),
  algorithm: block.default({ name: "a", x: 1 }),
});

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "sightloop-extends-"))));
afterEach(() => rmSync(folder, { recursive: true }));
const put = (name: string, text: string): string => {
  mkdirSync(dirname(join(folder, name)), { recursive: true });
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const load = (name: string, ...set: string[]) => {
  const file = join(folder, name);
  return parseConfig(schema, { text: readFileSync(file, "utf8"), file, set });
};
const problem = (name: string, ...set: string[]): string => {
  try {
    load(name, ...set);
  } catch (error) {
    if (error instanceof UserError && error.code === "CONFIG_INVALID" && error.hint !== "") return error.message;
    throw error;
  }
  throw new Error("no problem was found");
};

describe("extends", () => {
  test("merges blocks key by key, the file's own keys last, and says where each value came from", () => {
    put("parts/base.yaml", "seed: 1\noptimizer:\n  rate: 0.1\n  decay: 5\nlist: [1, 2]\n");
    put("run.yaml", "extends: parts/base.yaml\noptimizer:\n  rate: 0.2\nlist: [3]\n");
    const { config, origins } = load("run.yaml", "optimizer.decay=7");
    expect(config).toEqual({ seed: 1, optimizer: { rate: 0.2, decay: 7 }, list: [3], algorithm: { name: "a", x: 1 } });
    expect(Object.fromEntries(origins)).toEqual({
      seed: `${join(folder, "parts/base.yaml")}:1`,
      "optimizer.rate": `${join(folder, "run.yaml")}:3`,
      "optimizer.decay": "--set optimizer.decay=7",
      list: `${join(folder, "run.yaml")}:4`,
      "algorithm.name": "default",
      "algorithm.x": "default",
    });
  });

  test("a list: later files win; files extend others in turn, from their own folder", () => {
    put("parts/deep/one.yaml", "optimizer: { rate: 1 }\nseed: 1\n");
    put("parts/two.yaml", "extends: deep/one.yaml\nseed: 2\n");
    put("three.yaml", "seed: 3\n");
    put("run.yaml", "extends: [parts/two.yaml, three.yaml]\n");
    expect(load("run.yaml").config).toMatchObject({ seed: 3, optimizer: { rate: 1 } });
  });

  test("a block of another name replaces the one below, places and all; null replaces a value", () => {
    put("base.yaml", "optimizer: { rate: 1, decay: 3 }\nalgorithm: { name: a, x: 9 }\n");
    put("run.yaml", "extends: base.yaml\nalgorithm: { name: b }\noptimizer: { decay: null }\n");
    const { config, origins } = load("run.yaml");
    expect(config).toMatchObject({ algorithm: { name: "b", y: 2 }, optimizer: { rate: 1, decay: null } });
    expect(origins.get("algorithm.y")).toBe("default");
  });

  test("files by name are put in each other's place by --set, from the current folder, and left out by null", () => {
    put("model.yaml", "seed: 1\noptimizer: { rate: 1 }\n");
    const other = put("other.yaml", "seed: 2\noptimizer: { rate: 2 }\n");
    put("data.yaml", "list: [1]\n");
    put("run.yaml", "extends:\n  model: model.yaml\n  data: data.yaml\n");
    expect(load("run.yaml").config).toMatchObject({ seed: 1, list: [1] });
    const { config, origins } = load("run.yaml", `extends.model=${other}`, "extends.data=null", "seed=3");
    expect(config).toMatchObject({ seed: 3, optimizer: { rate: 2 }, list: [] });
    expect(origins.get("optimizer.rate")).toBe(`${other}:2`);
    expect(problem("run.yaml", "extends.model=no/such.yaml")).toContain(
      "--set extends.model=no/such.yaml: extends: no/such.yaml cannot be read",
    );
  });

  test("--set reaches into lists that a base holds", () => {
    put("base.yaml", "optimizer: { rate: 1 }\nlist: [1, 2]\n");
    put("run.yaml", "extends: base.yaml\n");
    expect(load("run.yaml", "list.1=9").config.list).toEqual([1, 9]);
  });

  test("a problem in a base is named by the base's line", () => {
    put("base.yaml", "optimizer:\n  rate: fast\n");
    put("run.yaml", "extends: base.yaml\n");
    expect(problem("run.yaml")).toContain(`${join(folder, "base.yaml")}:2: optimizer.rate: expected number`);
    put("base.yaml", "optimizer: [\n");
    expect(problem("run.yaml")).toMatch(/base\.yaml:\d+: not valid YAML/);
    put("base.yaml", "- 1\n");
    expect(problem("run.yaml")).toContain("base.yaml: not a config");
  });

  test("a circle is named, also one of a single file", () => {
    put("a.yaml", "extends: b.yaml\n");
    put("b.yaml", "extends: [a.yaml]\n");
    expect(problem("a.yaml")).toContain(
      `${join(folder, "b.yaml")}:1: extends: ${["a", "b", "a"].map((name) => join(folder, `${name}.yaml`)).join(" extends ")}: a circle`,
    );
    put("self.yaml", "extends: self.yaml\n");
    expect(problem("self.yaml")).toContain("a circle");
  });

  test("the same base twice is no circle", () => {
    put("base.yaml", "optimizer: { rate: 1 }\n");
    put("one.yaml", "extends: base.yaml\nseed: 1\n");
    put("run.yaml", "extends: [one.yaml, base.yaml]\n");
    expect(load("run.yaml").config.seed).toBe(1);
  });

  test.each(["3", "[1]", "{ a: 3 }", '""', "null", "[[a.yaml]]"])("extends: %s is refused", (value) => {
    put("run.yaml", `seed: 1\nextends: ${value}\n`);
    expect(problem("run.yaml")).toContain("run.yaml:2: extends: expected a file, a list of files, or files by name");
  });

  test("a base that is missing, or a folder, is named with the line that asks for it", () => {
    put("run.yaml", "extends:\n  model: gone.yaml\n");
    expect(problem("run.yaml")).toContain("run.yaml:2: extends: gone.yaml cannot be read: ENOENT");
    mkdirSync(join(folder, "gone.yaml"));
    expect(problem("run.yaml")).toContain("cannot be read: EISDIR");
  });
});
