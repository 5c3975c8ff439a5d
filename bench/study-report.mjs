/**
 * Is the report of a study of 200 steps, 3 seeds and 3 entries written in 5 s?   node bench/study-report.mjs
 * Run folders with invented contents, by the writers that training uses. Needs a built checkout.
 */
/* global performance */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync, readFileSync, appendFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { planStudy } from "../dist/study/plan.js";
import { writeSyntheticRun } from "../test/helpers/synthetic-run.mjs";

const root = mkdtempSync(join(tmpdir(), "sightloop-study-"));
const file = join(root, "study.yaml");
const folder = join(root, "runs");
const base = join(import.meta.dirname, "..", "configs", "twins", "grpo.yaml");
const entries = ["a", "b", "c"].map(
  (name, i) => `  ${name}: { train: ${base}, set: { optimizer.learning_rate: ${i + 1}.0e-4 } }`,
);
writeFileSync(
  file,
  `name: bench\nseeds: [0, 1, 2]\nset: { steps: 200 }\nentries:\n${entries.join("\n")}\nreport: { out_of_distribution: [test] }\n`,
);
const plan = await planStudy(file, [], folder);
/** @type {Record<string, object>} */
const states = {};
for (const { id, seed, definition } of plan.runs) {
  const path = join(folder, id);
  await writeSyntheticRun(path, { seed, steps: 200, prompts: 64, completions: 8 });
  const metrics = join(path, "metrics.jsonl");
  const last = readFileSync(metrics, "utf8")
    .trim()
    .split("\n")
    .filter((line) => line.includes('"evaluated"'));
  for (const split of ["validation", "test"])
    for (const line of last) {
      const event = JSON.parse(line);
      const results = event.results.map((/** @type {{ accuracy: number }} */ result) => ({
        ...result,
        num_items: 1000,
        correct: Array.from({ length: 1000 }, (_, i) => Number((i * 7919 + seed) % 1000 < 1000 * result.accuracy)),
      }));
      appendFileSync(metrics, `${JSON.stringify({ ...event, split, results })}\n`);
    }
  states[id] = { definition, state: "finished", seconds: 1 };
}
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "study.json"), JSON.stringify({ study: "bench", runs: states }));
const cli = join(import.meta.dirname, "..", "dist", "cli", "main.js");
const start = performance.now();
const output = execFileSync(process.execPath, [cli, "study", file, "--folder", folder, "--report-only"], {
  encoding: "utf8",
});
console.log(output);
console.log(
  `report of ${plan.runs.length} runs of 200 steps, 512 completions a step: ${((performance.now() - start) / 1000).toFixed(2)} s`,
);
rmSync(root, { recursive: true });
