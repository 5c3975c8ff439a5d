/**
 * How much of one process's speed do two have, which share its cores?   node bench/ranks.mjs [--steps 4]
 * A random model of 57.7 M parameters, 8 prompts x 8 completions x 64 tokens, all of it trained, KL to a reference. One rank of all
 * cores against two of half of them, the runs in turn. Needs a built checkout and an idle machine.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { writeWideConfig } from "./wide-model.mjs";

const { values } = parseArgs({ options: { steps: { type: "string", default: "4" } } });
const root = join(import.meta.dirname, "..");
const cli = join(root, "dist", "cli", "main.js");
const place = mkdtempSync(join(tmpdir(), "sightloop-ranks-"));
/** @param {string[]} args */
const sightloop = (args) => execFileSync(process.execPath, [cli, ...args], { stdio: ["ignore", "pipe", "inherit"] });

writeWideConfig(join(place, "config"));
sightloop(["init", "--config", join(place, "config"), "--output", join(place, "model")]);

writeFileSync(
  join(place, "run.yaml"),
  JSON.stringify({
    model: { path: join(place, "model"), train_vision_tower: true, train_connector: true },
    ...{ steps: Number(values.steps), prompts_per_step: 8, completions_per_prompt: 8, completions_per_update: 64 },
    datasets: { train: { name: "fashion_grid", count: 64 } },
    sampling: { max_completion_tokens: 64 },
    algorithm: { name: "grpo", kl_loss_coefficient: 0.01 },
    optimizer: { learning_rate: 1e-5 },
    rewards: [{ name: "length", max_tokens: 32 }],
    evaluate: { every_steps: 0, before_training: false },
  }),
);
/** Median over the steps after the first. @param {string} name @param {string} metric */
const median = (name, metric) => {
  const lines = readFileSync(join(place, name, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n");
  const numbers = lines.slice(1).map((line) => Number(JSON.parse(line)[metric]));
  return numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
};
for (const round of [1, 2]) {
  for (const ranks of [1, 2]) {
    const name = `${ranks}-${round}`;
    sightloop(["train", join(place, "run.yaml"), "--run-folder", join(place, name), "--nproc", String(ranks)]);
    const seconds = ["step", "rollout", "trajectory", "update"].map((phase) => median(name, `${phase}_seconds`));
    const [step, rollout, score, update] = seconds.map((value) => value.toFixed(2));
    const of_ranks =
      ranks === 1
        ? ""
        : `, of it gradients ${median(name, "reduce_seconds").toFixed(2)} s, idle ${(100 * median(name, "ranks_idle_share")).toFixed(0)} %`;
    console.log(
      `round ${round}, ${ranks} rank(s): step ${step} s = rollout ${rollout} + scoring ${score} + update ${update} s${of_ranks}, ` +
        `peak ${(median(name, "peak_rss_bytes") / 2 ** 30).toFixed(2)} GiB a rank`,
    );
  }
  console.log(
    `round ${round}: two ranks have ${((100 * median(`1-${round}`, "step_seconds")) / median(`2-${round}`, "step_seconds")).toFixed(0)} % of one's speed`,
  );
}
rmSync(place, { recursive: true });
