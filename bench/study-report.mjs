/**
 * Is the report of 3 runs of 200 steps written in 5 s, and that of a study of 3 entries with 3 seeds each?
 *   node bench/study-report.mjs
 * Run folders with invented contents, by the writers that training uses. Needs a built checkout.
 */
/* global performance */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync, readFileSync, appendFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { spawnSync } from "node:child_process";
import { planStudy } from "../dist/study/plan.js";
import { writeSyntheticRun } from "../test/helpers/synthetic-run.mjs";

const root = mkdtempSync(join(tmpdir(), "sightloop-study-"));
const base = join(import.meta.dirname, "..", "configs", "twins", "grpo.yaml");
const cli = join(import.meta.dirname, "..", "dist", "cli", "main.js");
const limit = 5; // s, on 2 cores

/** Its runs are the plan's; the folder holds no run yet. @param {string} name @param {readonly string[]} entries */
async function studyOf(name, entries) {
  const [file, folder] = [join(root, `${name}.yaml`), join(root, name)];
  const lines = entries.map(
    (entry, i) => `  ${entry}: { train: ${base}, set: { optimizer.learning_rate: ${i + 1}.0e-4 } }`,
  );
  const report = "report: { out_of_distribution: [test] }";
  writeFileSync(
    file,
    `name: ${name}\nseeds: [0, 1, 2]\nset: { steps: 200 }\nentries:\n${lines.join("\n")}\n${report}\n`,
  );
  const plan = await planStudy(file, [], folder);
  const finished = plan.runs.map(({ id, definition }) => [id, { definition, state: "finished", seconds: 1 }]);
  mkdirSync(folder);
  writeFileSync(join(folder, "study.json"), JSON.stringify({ study: name, runs: Object.fromEntries(finished) }));
  return { file, folder, runs: plan.runs };
}

/** A run evaluated on 1,000 items of two splits. @param {string} folder @param {number} seed */
async function writeRun(folder, seed) {
  await writeSyntheticRun(folder, { seed, steps: 200, prompts: 64, completions: 8 });
  const metrics = join(folder, "metrics.jsonl");
  const evaluated = readFileSync(metrics, "utf8")
    .trim()
    .split("\n")
    .filter((line) => line.includes('"evaluated"'));
  for (const split of ["validation", "test"])
    for (const line of evaluated) {
      const event = JSON.parse(line);
      const results = event.results.map((/** @type {{ accuracy: number }} */ result) => ({
        ...result,
        num_items: 1000,
        correct: Array.from({ length: 1000 }, (_, i) => Number((i * 7919 + seed) % 1000 < 1000 * result.accuracy)),
      }));
      appendFileSync(metrics, `${JSON.stringify({ ...event, split, results })}\n`);
    }
}

/** @param {string} what @param {readonly string[]} args */
function time(what, args) {
  const start = performance.now();
  const { status, stderr } = spawnSync(process.execPath, [cli, ...args], { encoding: "utf8", cwd: root });
  const seconds = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
  console.log(`${what}: ${seconds.toFixed(2)} s, ${seconds <= limit ? "held" : "NOT held"} (${limit} s)`);
}

try {
  const nine = await studyOf("nine", ["a", "b", "c"]);
  for (const { id, seed } of nine.runs) await writeRun(join(nine.folder, id), seed);
  const three = await studyOf("three", ["a"]);
  symlinkSync(join(nine.folder, "a"), join(three.folder, "a"));
  console.log(
    "200 steps of 512 completions; load before: " +
      loadavg()
        .map((load) => load.toFixed(1))
        .join(" "),
  );
  for (let i = 0; i < 3; i++) {
    time("study of 1 entry, 3 seeds", ["study", three.file, "--folder", three.folder, "--report-only"]);
    const runs = three.runs.map(({ id }) => join(three.folder, id));
    time("report of 3 runs", ["report", ...runs, "--output", join(root, "report")]);
    time("study of 3 entries, 9 runs", ["study", nine.file, "--folder", nine.folder, "--report-only"]);
  }
} finally {
  rmSync(root, { recursive: true });
}
