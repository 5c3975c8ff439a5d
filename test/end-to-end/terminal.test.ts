import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { program, sightloop, smallRun, workspace } from "./support.js";

const place = workspace();

const config = (): string => {
  const file = place.path("run.yaml");
  const model = { ...smallRun.model, path: place.model };
  // Steps of half a second or more, so that the foot is drawn between two lines.
  const batch = { prompts_per_step: 40, completions_per_prompt: 8, completions_per_update: 320 };
  writeFileSync(file, stringify({ ...smallRun, ...batch, model, rewards: [{ name: "accuracy" }] }));
  return file;
};
// eslint-disable-next-line no-control-regex
const escape = /\u001b/;
const has_script = spawnSync("script", ["--version"], { encoding: "utf8" }).stdout?.includes("util-linux") ?? false;

test.skipIf(!has_script)(
  "on a terminal: a bar, sparklines and a sample, redrawn in place (skipped where util-linux has no `script`)",
  () => {
    const command = `stty cols 80; ${process.execPath} ${program} train ${config()} --run-folder ${place.path("tty")}`;
    const log = place.path("terminal.log");
    const { status } = spawnSync("script", ["-qfec", command, log]);
    expect(status).toBe(0);
    const text = readFileSync(log, "utf8");
    expect(text).toMatch(/training [█░]+ [\d]\/4 steps/);
    expect(text).toMatch(/accuracy [▁▂▃▄▅▆▇█]+ \d+\.\d % {3}length [▁▂▃▄▅▆▇█]+ [\d.]+ tokens/);
    expect(text).toMatch(/reward 0\.00, answer \d+: /);
    expect(text).toMatch(/step 4\/4 {2}loss/);
    // What is left at the end is text alone: the foot is taken away.
    expect(text.slice(text.lastIndexOf("done after 4 steps"))).not.toMatch(/training/);
  },
  60_000,
);

test("into a pipe: plain lines, nothing else", async () => {
  const { code, stdout, stderr } = await sightloop(["train", config(), "--run-folder", place.path("pipe")]);
  expect(code).toBe(0);
  expect(stdout + stderr).not.toMatch(escape);
  expect(stdout).not.toMatch(/[▁█░]/);
  expect(stdout.match(/^step \d\/4 /gm)).toHaveLength(4);
}, 60_000);
