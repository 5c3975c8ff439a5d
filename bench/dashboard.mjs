/**
 * Does the viewer open 50,000 samples in 2 s, and stay under 500 MB? Is the report of 3 runs of 200 steps written in 5 s?
 *   node bench/dashboard.mjs [--samples 50000] [--keep FOLDER]
 *
 * Writes run folders with invented contents (by the writers that training uses), starts `sightloop dashboard` and
 * `sightloop report` as a user does, and looks at the page in a headless Chromium, if one is installed. Needs a built checkout.
 */
/* global document, fetch, performance, requestAnimationFrame */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { writeSyntheticRun } from "../test/helpers/synthetic-run.mjs";

const { values } = parseArgs({ options: { samples: { type: "string", default: "50000" }, keep: { type: "string" } } });
const folder = values.keep ?? mkdtempSync(join(tmpdir(), "sightloop-bench-"));
const cli = join(import.meta.dirname, "..", "dist", "cli", "main.js");
const seconds = (/** @type {number} */ start) => ((performance.now() - start) / 1000).toFixed(2);
const memory = (/** @type {number} */ pid) =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;

/** @param {string} name @param {import("../test/helpers/synthetic-run.mjs").Options} options */
async function runAt(name, options) {
  const path = join(folder, name);
  if (!existsSync(path)) await writeSyntheticRun(path, options);
  return path;
}

const steps = Math.ceil(Number(values.samples) / 512);
const big = await runAt("viewer", { steps, prompts: 64, completions: 8, padding: 150, words: 60 });
console.log(
  `${steps * 512} samples in ${steps} files, ${execFileSync("du", ["-sm", join(big, "rollouts")], { encoding: "utf8" }).split("\t")[0]} MB`,
);

const child = spawn(process.execPath, [cli, "dashboard", big, "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
const url = await new Promise((resolve) => {
  child.stdout.on("data", (text) => resolve(String(text).split(" ")[0]));
});
try {
  const [{ id }] = await (await fetch(`${url}api/runs`)).json();
  const list = `${url}api/runs/${id}/samples`;
  /** @param {string} what @param {string} query */
  const timed = async (what, query) => {
    const start = performance.now();
    const { total } = await (await fetch(`${list}?${query}`)).json();
    console.log(`${what}: ${seconds(start)} s (${total} samples)`);
  };
  await timed("server, first page of the list, nothing read before", "limit=100");
  await timed("server, page in the middle", "offset=25000&limit=100");
  await timed("server, correct and truncated", "correct=yes&truncated=yes&limit=100");
  await timed("server, longest first", "order=-length&limit=100");
  await timed("server, with a reflection word, first time", "reflective=yes&limit=100");
  await timed("server, with a reflection word, again", "reflective=yes&correct=no&limit=100");
  await timed("server, text in all completions", "text=sandal+boot&limit=100");
  console.log(`server, peak resident memory: ${memory(/** @type {number} */ (child.pid)).toFixed(0)} MB`);
  await inBrowser(`${url}#samples/${id}`);
  console.log(
    `server, peak resident memory after the browser: ${memory(/** @type {number} */ (child.pid)).toFixed(0)} MB`,
  );
} finally {
  child.kill("SIGINT");
}

for (const seed of [0, 1, 2]) await runAt(`study/grpo/seed-${seed}`, { seed, steps: 200, prompts: 16, completions: 8 });
const start = performance.now();
const args = [cli, "report", join(folder, "study"), "--output", join(folder, "report"), "--json"];
const { num_figures } = JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" }));
console.log(
  `report of 3 runs of 200 steps, 128 samples each: ${seconds(start)} s (${num_figures} figures as SVG and PNG)`,
);
if (values.keep === undefined) rmSync(folder, { recursive: true, force: true });

/** @param {string} address */
async function inBrowser(address) {
  const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
  if (executablePath === undefined) return console.log("browser: none installed");
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"], timeout: 120_000 });
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  const opened = performance.now();
  await page.goto(address);
  await page.waitForSelector("[role=option] .facts", { timeout: 60_000 });
  console.log(`browser, from the address to the first samples shown: ${seconds(opened)} s`);
  const longest = await page.evaluate(async () => {
    const box = /** @type {HTMLElement} */ (document.querySelector("[role=listbox]"));
    let [worst, last] = [0, performance.now()];
    for (let i = 1; i <= 120; i++) {
      box.scrollTop = (box.scrollHeight * i) / 121;
      await new Promise((resolve) => requestAnimationFrame(() => resolve(undefined)));
      worst = Math.max(worst, performance.now() - last);
      last = performance.now();
    }
    return worst;
  });
  await page.waitForSelector("[role=option] .facts", { timeout: 60_000 });
  const heap = await page.evaluate(() => /** @type {any} */ (performance).memory.usedJSHeapSize / 2 ** 20);
  const rows = await page.locator("[role=option]").count();
  console.log(`browser, scrolled from end to end in 120 frames: longest frame ${longest.toFixed(0)} ms`);
  console.log(`browser, JavaScript heap ${heap.toFixed(0)} MB, ${rows} rows in the page`);
  await browser.close();
}
