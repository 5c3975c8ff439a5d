// Takes the place of the command line in tests of studies: makes the files that a run makes, at once.
// FAKE_FAIL: runs whose folder ends so fail. FAKE_SLOW: they wait to be interrupted, after their first checkpoint.
/* global setTimeout */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

const [verb, ...args] = process.argv.slice(2);
const option = (/** @type {string} */ name) => args[args.indexOf(`--${name}`) + 1] ?? "";
const { FAKE_FAIL = "-", FAKE_SLOW = "-" } = process.env;

if (verb === "init" || verb === "sample") {
  mkdirSync(option("output"), { recursive: true });
  writeFileSync(join(option("output"), verb === "init" ? "config.json" : "data.jsonl"), "{}\n");
  process.exit(0);
}
const folder = option("run-folder");
if (folder.endsWith(FAKE_FAIL)) {
  console.error("error: the disk is made of cheese\nhint: Eat it.");
  process.exit(2);
}
const config = parse(readFileSync(args[0] ?? "", "utf8"));
const metrics = join(folder, "metrics.jsonl");
if (args.includes("--resume") !== existsSync(join(folder, "config.yaml"))) {
  console.error(`error: --resume is ${args.includes("--resume")}`);
  process.exit(2);
}
mkdirSync(join(folder, "checkpoints", "step-000002", "model"), { recursive: true });
writeFileSync(join(folder, "config.yaml"), readFileSync(args[0] ?? ""));
const cursor = { step: 2, data: {}, evaluated: true, score: null, config_hash: "" };
writeFileSync(join(folder, "checkpoints", "step-000002", "cursor.json"), JSON.stringify(cursor));
console.log(JSON.stringify({ type: "started", step: 0, steps: 2 }));
if (folder.endsWith(FAKE_SLOW)) {
  process.on("SIGINT", () => {
    console.error("error: interrupted after step 1 of 2");
    process.exit(130);
  });
  await new Promise((resolve) => setTimeout(resolve, 60_000));
}
const share = verb === "train" ? 0.8 : 0.6;
const lines = [0, 1, 2].flatMap((step) => [
  ...(step === 0 ? [] : [{ type: "step", step, loss: 1, completion_length_mean: 5 + step }]),
  ...Object.keys(config.datasets.tests).map((split) => {
    const correct = Array.from({ length: 200 }, (_, i) =>
      Number((i * 7919 + config.seed) % 200 < 200 * (step === 0 ? 0.5 : share)),
    );
    const accuracy = correct.reduce((sum, one) => sum + one, 0) / 200;
    const result = {
      setting: "greedy",
      num_items: 200,
      completions_per_prompt: 1,
      accuracy,
      interval: [0, 1],
      pass_at: {},
    };
    return { type: "evaluated", step, split, results: [{ ...result, correct }] };
  }),
]);
writeFileSync(metrics, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
console.log(JSON.stringify({ type: "step", step: 2, steps: 2 }));
