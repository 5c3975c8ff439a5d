/**
 * How long does a step wait for its images, with and without preparing them a step ahead?
 *   node bench/prefetch.mjs [--threads 1] [--rounds 1]
 * JPEGs of two sizes, each seen once; the model is preset fashion_grid_tiny, random, with room for them. Fewer engine threads than cores
 * stand for a machine whose cores are idle while a device computes. Needs a built checkout and an idle machine.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import sharp from "sharp";

const { values } = parseArgs({
  options: { threads: { type: "string", default: "1" }, rounds: { type: "string", default: "1" } },
});
const [steps, prompts_per_step] = [7, 16];
const root = join(import.meta.dirname, "..");
const cli = join(root, "dist", "cli", "main.js");
const place = mkdtempSync(join(tmpdir(), "sightloop-prefetch-"));
/** @param {string[]} args */
const sightloop = (args) => execFileSync(process.execPath, [cli, ...args], { stdio: ["ignore", "pipe", "inherit"] });

/** Smooth, with some noise, so that it takes as long to decode as a photo. @param {string} path @param {number} side @param {number} seed */
async function picture(path, side, seed) {
  const rgb = new Uint8Array(3 * side * side);
  for (let i = 0; i < rgb.length; ++i) rgb[i] = 128 + 90 * Math.sin((i + 977 * seed) / 4001) + ((i * 31 + seed) % 29);
  await sharp(rgb, { raw: { width: side, height: side, channels: 3 } })
    .jpeg({ quality: 90 })
    .toFile(path);
}

/** @param {number} side */
async function prepare(side) {
  const folder = join(place, String(side));
  mkdirSync(folder);
  cpSync(join(root, "configs", "models", "fashion_grid_tiny"), join(folder, "config"), { recursive: true });
  const file = join(folder, "config", "preprocessor_config.json");
  const settings = JSON.parse(readFileSync(file, "utf8"));
  const max_pixels = 448 * 448;
  writeFileSync(
    file,
    JSON.stringify({ ...settings, max_pixels, size: { ...settings.size, longest_edge: max_pixels } }),
  );
  sightloop(["init", "--config", join(folder, "config"), "--output", join(folder, "model")]);
  const rows = [];
  for (let i = 0; i < steps * prompts_per_step; ++i) {
    await picture(join(folder, `${i}.jpg`), side, i);
    rows.push(JSON.stringify({ id: `${i}`, question: "?", answer: "1", image: `${i}.jpg` }));
  }
  writeFileSync(join(folder, "rows.jsonl"), rows.join("\n"));
  const config = {
    model: { path: join(folder, "model") },
    ...{
      steps,
      prompts_per_step,
      completions_per_prompt: 8,
      completions_per_update: 128,
      threads: Number(values.threads),
    },
    datasets: { train: { name: "jsonl", path: join(folder, "rows.jsonl") } },
    sampling: { max_completion_tokens: 64 },
    algorithm: { name: "grpo" },
    optimizer: { learning_rate: 1e-5 },
    rewards: [{ name: "length", max_tokens: 32 }],
    evaluate: { every_steps: 0, before_training: false },
  };
  writeFileSync(join(folder, "run.yaml"), JSON.stringify(config));
  return folder;
}

/** Median over the steps after the first. @param {string} folder @param {string} metric */
function median(folder, metric) {
  const lines = readFileSync(join(folder, "metrics.jsonl"), "utf8").trim().split("\n");
  const numbers = lines.slice(1).map((line) => Number(JSON.parse(line)[metric]));
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}

for (const side of [448, 1024]) {
  const folder = await prepare(side);
  for (let round = 0; round < Number(values.rounds); ++round)
    for (const prefetch of [false, true]) {
      const run = join(folder, `${prefetch}-${round}`);
      sightloop(["train", join(folder, "run.yaml"), "--run-folder", run, "--set", `prefetch_images=${prefetch}`]);
      const told = ["data_seconds", "rollout_seconds", "step_seconds"].map(
        (name) => `${name} ${median(run, name).toFixed(3)}`,
      );
      console.log(
        `${prompts_per_step} images of ${side} x ${side} a step, ${prefetch ? "prepared ahead" : "as it begins"}: ${told.join(", ")}`,
      );
    }
}
rmSync(place, { recursive: true });
