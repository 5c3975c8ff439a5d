/**
 * How fast is Sightloop beside TRL's GRPOTrainer?   node bench/peer.mjs --python PYTHON [--torchvision DIR] [--work DIR]
 *
 * Same checkpoint, same work: 8 prompts with a picture x 8 completions x 64 tokens, float32, GRPO with KL to a reference
 * (beta 0.01), one optimizer step. The two sides take turns, a process each, --rounds times; a step counts only if the
 * rest of the machine used less than --foreign cores meanwhile, and a side with fewer than 3 such steps has no result.
 * Cases: tiny (1.9 M parameters), small (62 M), long (small, pictures of 448 x 448; TRL computes 16 completions at once,
 * as 64 do not fit 16 GiB). Needs a built checkout, an idle machine, and a Python with torch, transformers 5.18, trl 1.13,
 * accelerate, datasets and pillow; --torchvision names a folder with torchvision's files where its library does not load.
 * --build only makes the checkpoints. Copy the table into LOG.md with date and machine.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    python: { type: "string", default: "python3" },
    torchvision: { type: "string", default: "" },
    work: { type: "string" },
    cases: { type: "string", default: "tiny,small,long" },
    rounds: { type: "string", default: "3" },
    steps: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
    foreign: { type: "string", default: "0.1" },
    build: { type: "boolean", default: false },
  },
});
const work = values.work ?? mkdtempSync(join(tmpdir(), "sightloop-peer-"));
const script = (/** @type {string} */ name) => join(import.meta.dirname, "peer", name);
const cases = {
  tiny: { size: "tiny", image: 112, microbatch: 64 },
  small: { size: "small", image: 112, microbatch: 64 },
  long: { size: "small", image: 448, microbatch: 16 },
};
const phases = /** @type {const} */ (["step", "generate", "reference", "update"]);
/** @typedef {Record<"step" | "generate" | "reference" | "update" | "foreign_cores", number>} Step */
/** @typedef {{ peak_rss_gib: number, parameters: number, versions?: Record<string, string> }} Run */

/** Runs a program and returns the lines it printed; its complaints go through. @param {string} program @param {string[]} args */
async function lines(program, args) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += text));
  const code = await new Promise((done, fail) => child.on("close", done).on("error", fail));
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}`);
  return output.trim().split("\n");
}

const torchvision = values.torchvision === "" ? [] : ["--torchvision", values.torchvision];
const shared = ["--steps", values.steps, "--threads", values.threads, "--foreign", values.foreign];

/** The sides of a case, and what each runs. @param {string} folder @param {number} microbatch */
const sides = (folder, microbatch) => {
  const ours = (/** @type {string} */ trainable) =>
    /** @type {[string, string[]]} */ ([
      process.execPath,
      [script("sightloop-steps.mjs"), folder, ...shared, "--trainable", trainable],
    ]);
  const trl = [
    script("trl_steps.py"),
    folder,
    ...shared,
    "--microbatch",
    `${microbatch}`,
    "--output",
    join(work, "trl"),
  ];
  return {
    TRL: /** @type {[string, string[]]} */ ([values.python, [...trl, ...torchvision]]),
    Sightloop: ours("all"),
    "Sightloop, frozen vision": ours("language_model"),
  };
};

/** @param {number[]} numbers */
const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? NaN) + (sorted[sorted.length >> 1] ?? NaN)) / 2;
};

/** @param {string[]} cells */
const row = (cells) => console.log(`| ${cells.join(" | ")} |`);

for (const name of values.cases.split(",")) {
  const one = cases[/** @type {keyof typeof cases} */ (name)];
  if (one === undefined) throw new Error(`no case ${name}; cases: ${Object.keys(cases).join(", ")}`);
  const folder = join(work, name);
  if (!existsSync(join(folder, "prompts.json")))
    await lines(values.python, [
      ...[script("checkpoint.py"), one.size, "--image", `${one.image}`, "--output", folder],
      ...torchvision,
    ]);
  if (values.build) continue;
  /** @type {Record<string, { steps: Step[], rejected: number, run: Run }>} */
  const results = {};
  for (let round = 0; round < Number(values.rounds); round++)
    for (const [side, [program, args]] of Object.entries(sides(folder, one.microbatch))) {
      const printed = (await lines(program, args))
        .filter((line) => line.startsWith('{"')) // TRL prints dictionaries of its own
        .map((line) => JSON.parse(line));
      const timed = /** @type {Step[]} */ (printed.slice(1, -1)); // the first warms up
      const run = /** @type {Run} */ (printed.at(-1));
      const quiet = timed.filter((step) => step.foreign_cores < Number(values.foreign));
      const before = results[side] ?? { steps: [], rejected: 0, run };
      results[side] = {
        steps: [...before.steps, ...quiet],
        rejected: before.rejected + timed.length - quiet.length,
        run: { ...run, peak_rss_gib: Math.max(run.peak_rss_gib, before.run.peak_rss_gib) },
      };
      console.error(`${name}, round ${round + 1}: ${side} ${quiet.length} of ${timed.length} steps count`);
    }
  const peer = results["TRL"];
  console.log(`\n${name}: ${JSON.stringify(peer?.run.versions)}, ${values.threads} threads, ${cpus()[0]?.model}`);
  row(["median seconds (TRL's / this)", ...phases, "peak RSS, GiB", "trained parameters", "steps that count"]);
  row(Array.from({ length: phases.length + 4 }, () => "---"));
  for (const [side, { steps, rejected, run }] of Object.entries(results)) {
    const enough = steps.length >= 3 && (peer?.steps.length ?? 0) >= 3;
    const against = (/** @type {number} */ theirs, /** @type {number} */ own, /** @type {string} */ text) =>
      side === "TRL" ? text : `${text} (${(theirs / own).toFixed(2)}x)`;
    const cells = phases.map((phase) => {
      const own = median(steps.map((step) => step[phase]));
      return enough ? against(median((peer?.steps ?? []).map((step) => step[phase])), own, own.toFixed(3)) : "too few";
    });
    const memory = against(peer?.run.peak_rss_gib ?? NaN, run.peak_rss_gib, run.peak_rss_gib.toFixed(2));
    row([side, ...cells, memory, `${run.parameters}`, `${steps.length} of ${steps.length + rejected}`]);
  }
}
console.log(`\ncheckpoints: ${work}`);
