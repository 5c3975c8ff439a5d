/**
 * Does RL raise accuracy over its own warm start, whatever the seed?   node bench/demo-seeds.mjs [--seeds 0,1,2] [--out FOLDER]
 *
 * Runs the demo once per seed, one after the other (never two at once: both would use every core), and prints each
 * seed's test accuracy, then mean and standard deviation over seeds. Needs a built checkout; about 4 minutes a seed on
 * 2 idle cores. Copy the table into LOG.md with date and machine.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { seeds: { type: "string", default: "0,1,2" }, out: { type: "string" } },
});
const out = values.out ?? mkdtempSync(join(tmpdir(), "sightloop-demo-"));
const cli = join(import.meta.dirname, "..", "dist", "cli", "main.js");

/** @param {{ setting: string, accuracy: number }[]} results @param {string} setting */
const percent = (results, setting) => 100 * (results.find((result) => result.setting === setting)?.accuracy ?? NaN);
const columns = ["sft greedy", "rl greedy", "gain", "sft t1", "rl t1", "sft worked", "rl worked", "seconds"];
/** @type {number[][]} */
const rows = [];
console.log(["seed", ...columns].join("  "));
for (const seed of values.seeds.split(",")) {
  const folder = join(out, `seed-${seed}`);
  const args = [cli, "demo", "--seed", seed, "--run-folder", folder, "--json"];
  const lines = execFileSync(process.execPath, args, { encoding: "utf8", maxBuffer: 2 ** 28 })
    .trim()
    .split("\n");
  const { results, seconds } = JSON.parse(lines.at(-1) ?? "");
  const [before, after] = [percent(results.sft, "greedy"), percent(results.rl, "greedy")];
  const rest = ["t1", "worked"].flatMap((setting) => [percent(results.sft, setting), percent(results.rl, setting)]);
  rows.push([before, after, after - before, ...rest, seconds]);
  console.log([seed, ...(rows.at(-1) ?? []).map((value) => value.toFixed(1))].join("  "));
}
const mean = columns.map((_, i) => rows.reduce((sum, row) => sum + (row[i] ?? NaN), 0) / rows.length);
const deviation = columns.map((_, i) =>
  Math.sqrt(
    rows.reduce((sum, row) => sum + ((row[i] ?? NaN) - (mean[i] ?? NaN)) ** 2, 0) / Math.max(1, rows.length - 1),
  ),
);
console.log(["mean", ...mean.map((value) => value.toFixed(1))].join("  "));
console.log(["std", ...deviation.map((value) => value.toFixed(1))].join("  "));
console.log(`accuracy in %, seconds in s; run folders: ${out}`);
