/**
 * How far does each algorithm come from the same warm start?
 *   node bench/twins.mjs [--seeds 0,1,2] [--presets grpo,dapo] [--jobs 2] [--out FOLDER]
 *
 * Trains every CPU twin of configs/twins once per seed, from that seed's own warm start, and prints mean and standard
 * deviation over seeds of the accuracy on 500 grids of official test photos (greedy, and sampled at T = 1), time and peak
 * memory, as the table of LOG.md. `--jobs` runs train side by side, with one thread each; a run that is finished in FOLDER
 * is not repeated. Needs a built checkout; 3 to 6 minutes a run on one core.
 */
/* global performance */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs, promisify } from "node:util";

const root = join(import.meta.dirname, "..");
const all_presets = readdirSync(join(root, "configs", "twins")).map((file) => basename(file, ".yaml"));
const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "0,1,2" },
    presets: { type: "string", default: all_presets.join(",") },
    jobs: { type: "string", default: "2" },
    out: { type: "string" },
  },
});
const out = values.out ?? mkdtempSync(join(tmpdir(), "sightloop-twins-"));
const run = promisify(execFile);

/** @param {string[]} args */
async function sightloop(args) {
  const command = [join(root, "dist", "cli", "main.js"), ...args];
  const { stdout } = await run(process.execPath, command, { cwd: root, maxBuffer: 2 ** 28 });
  return stdout.trim().split("\n");
}

/**
 * The value of `compute`, kept in a file so that an interrupted bench goes on where it was.
 * @template T
 * @param {string} path @param {() => Promise<T>} compute @returns {Promise<T>}
 */
async function once(path, compute) {
  if (existsSync(path)) return JSON.parse(readFileSync(path, "utf8"));
  const value = await compute();
  writeFileSync(path, JSON.stringify(value));
  return value;
}

/** Greedy and sampled accuracy on test, in %. @param {string} model @param {string} seed @returns {Promise<number[]>} */
async function accuracies(model, seed) {
  const settings = ["{name: greedy}", "{name: t1, temperature: 1}"].flatMap((setting) => ["--setting", setting]);
  const dataset = "{name: fashion_grid, split: test, count: 500}";
  const limits = ["--max-completion-tokens", "17", "--max-concurrent-completions", "512", "--threads", "1"];
  const args = ["evaluate", "--model", model, "--dataset", dataset, ...settings, ...limits, "--seed", seed, "--json"];
  const { results } = JSON.parse((await sightloop(args)).at(-1) ?? "");
  return results.map((/** @type {{ accuracy: number }} */ result) => 100 * result.accuracy);
}

/** @param {string} folder */
const lastModel = (folder) => {
  const steps = readdirSync(join(folder, "checkpoints")).sort();
  return join(folder, "checkpoints", steps.at(-1) ?? "", "model");
};

/** @param {string} seed */
const warmStart = (seed) =>
  once(join(out, `warm-start-${seed}.json`), async () => {
    const [random, folder] = [join(out, `random-${seed}`), join(out, `sft-${seed}`)];
    await sightloop(["init", "--preset", "fashion_grid_tiny", "--output", random, "--seed", seed]);
    const set = [`model.path=${random}`, `seed=${seed}`, "threads=1"].flatMap((value) => ["--set", value]);
    await sightloop(["sft", "configs/demo_sft.yaml", ...set, "--run-folder", folder, "--json"]);
    const model = lastModel(folder);
    return { model, accuracy: await accuracies(model, seed) };
  });

/** @param {string} preset @param {string} seed */
const trained = (preset, seed) =>
  once(join(out, `${preset}-${seed}.json`), async () => {
    const { model } = await warmStart(seed);
    const folder = join(out, `run-${preset}-${seed}`);
    const set = [`model.path=${model}`, `seed=${seed}`, "threads=1"].flatMap((value) => ["--set", value]);
    const started = performance.now();
    await sightloop(["train", `configs/twins/${preset}.yaml`, ...set, "--run-folder", folder, "--json"]);
    const seconds = (performance.now() - started) / 1000;
    const lines = readFileSync(join(folder, "metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const peak = Math.max(...lines.map((line) => line.peak_rss_bytes ?? line.metrics?.peak_rss_bytes ?? 0));
    const alarms = join(folder, "alarms.jsonl");
    const raised = existsSync(alarms)
      ? [...new Set([...readFileSync(alarms, "utf8").matchAll(/"name":"(\w+)"/g)].map((hit) => hit[1]))]
      : [];
    return { accuracy: await accuracies(lastModel(folder), seed), seconds, peak_gib: peak / 2 ** 30, raised };
  });

/** @param {readonly number[]} numbers */
const spread = (numbers) => {
  const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
  const squares = numbers.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return `${mean.toFixed(1)} ± ${Math.sqrt(squares / Math.max(1, numbers.length - 1)).toFixed(1)}`;
};

const seeds = values.seeds.split(",");
const presets = values.presets.split(",");
const starts = new Map();
const waiting = [...seeds.map((seed) => async () => starts.set(seed, await warmStart(seed)))];
const results = new Map();
const runs = presets.flatMap((preset) =>
  seeds.map((seed) => async () => {
    const result = await trained(preset, seed);
    results.set(`${preset} ${seed}`, result);
    const [greedy = NaN, t1 = NaN] = result.accuracy;
    console.error(
      `${preset} seed ${seed}: ${greedy.toFixed(1)} % greedy, ${t1.toFixed(1)} % at T = 1, ${result.seconds.toFixed(0)} s ${result.raised}`,
    );
  }),
);
for (const queue of [waiting, runs])
  await Promise.all(
    Array.from({ length: Number(values.jobs) }, async () => {
      for (let job = queue.shift(); job !== undefined; job = queue.shift()) await job();
    }),
  );

console.log(
  "| preset | greedy | gain | sampled at T = 1 | seconds | peak GiB | alarms |\n|---|---|---|---|---|---|---|",
);
const from = seeds.map((seed) => starts.get(seed).accuracy);
console.log(`| warm start | ${spread(from.map(([greedy]) => greedy))} | | ${spread(from.map(([, t1]) => t1))} | | | |`);
for (const preset of presets) {
  const of_preset = seeds.map((seed) => results.get(`${preset} ${seed}`));
  const greedy = of_preset.map(({ accuracy }) => accuracy[0]);
  const alarms = [...new Set(of_preset.flatMap(({ raised }) => raised))].join(", ");
  const cells = [
    ...[preset, spread(greedy), spread(greedy.map((value, i) => value - from[i][0]))],
    spread(of_preset.map(({ accuracy }) => accuracy[1])),
    spread(of_preset.map(({ seconds }) => seconds)),
    Math.max(...of_preset.map(({ peak_gib }) => peak_gib)).toFixed(2),
    alarms,
  ];
  console.log(`| ${cells.join(" | ")} |`);
}
console.log(`accuracy in %; runs in ${out}`);
