import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { evaluateModel } from "../../../src/cli/evaluate-model.js";

const given = {
  ...{ model: "m", dataset: "{name: fashion_grid, count: 1}", setting: undefined, "system-prompt": undefined },
  ...{ adapter: undefined, protocol: undefined, controls: undefined, output: undefined },
  ...{ "max-items": undefined, "max-completion-tokens": 8, "max-prompt-tokens": 8, "max-concurrent-completions": 1 },
  ...{ seed: 0, threads: 0, json: false, dtype: "float32" as const, deterministic: "run" as const },
  device: "auto" as const,
};

test.each([
  ["a protocol that is not there", { protocol: "papr" }, "--protocol papr is not known; there is: paper"],
  ["a protocol and settings", { protocol: "paper", setting: ["greedy"] }, "give it or --setting, not both"],
  ["two settings of one name", { setting: ["a", "a"] }, "two settings have the name a"],
  ["a control that is not there", { controls: "blank,noise" }, '"noise" is not known; there are: blank, shuffled'],
  ["no control", { controls: "" }, '"" is not known'],
])("%s is refused before anything is opened", async (_, changes, message) => {
  await expect(evaluateModel({ ...given, ...changes })).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining(message) as string,
  });
});

test("an output folder that is not empty is refused", async () => {
  const output = await mkdtemp(join(tmpdir(), "evaluate-"));
  try {
    await writeFile(join(output, "summary.json"), "{}");
    await expect(evaluateModel({ ...given, output })).rejects.toMatchObject({ code: "RUN_FOLDER_IN_USE" });
  } finally {
    await rm(output, { recursive: true });
  }
});
