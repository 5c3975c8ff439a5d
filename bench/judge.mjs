// How right and how fast the math judge is: scores a JSONL of labelled pairs, prints one table by category and the pairs it
// gets wrong, then times 1,000 seeded random answers and the load of the algebra. Needs `npm run build`.
//   node bench/judge.mjs [pairs.jsonl ...]      default: the pairs of test/fixtures/judge
// A line is { "id", "category", "truth", "completion", "correct" }.
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { performance } from "node:perf_hooks";

const root = join(import.meta.dirname, "..");
const { isSameAnswer, judge } = await import(join(root, "dist/rewards/grading/judge.js"));
const fixtures = ["tuning", "frozen"].map((name) => join(root, "test/fixtures/judge", `${name}.jsonl`));
const files = process.argv.length > 2 ? process.argv.slice(2) : fixtures;

const memory = process.memoryUsage().rss;
const start = performance.now();
await isSameAnswer("x + 1", "1 + x");
const load_ms = performance.now() - start;
const load_mib = (process.memoryUsage().rss - memory) / 2 ** 20;

/** @typedef {{ pairs: number, right: number, false_positives: number, missed: number }} Row */
for (const file of files) {
  /** @type {Record<string, Row>} */
  const table = {};
  const wrong = [];
  const lines = readFileSync(file, "utf8").split("\n");
  for (const [i, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const { id = `line ${i + 1}`, category = "all", truth, completion, correct } = JSON.parse(line);
    const verdict = await judge(completion, truth);
    const row = (table[category] ??= { pairs: 0, right: 0, false_positives: 0, missed: 0 });
    row.pairs += 1;
    row[verdict.correct === correct ? "right" : correct ? "missed" : "false_positives"] += 1;
    if (verdict.correct !== correct)
      wrong.push({ id, truth, found: verdict.final_answer ?? "-", rule: verdict.rule ?? "-" });
  }
  const rows = Object.values(table);
  /** @param {keyof Row} key */
  const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
  table.total = {
    pairs: sum("pairs"),
    right: sum("right"),
    false_positives: sum("false_positives"),
    missed: sum("missed"),
  };
  console.log(relative(process.cwd(), file));
  console.table(table);
  if (wrong.length > 0) console.table(wrong);
}

let state = 7;
/** @param {number} n */
const random = (n) => (state = (state * 48271) % 2147483647) % n;
const pieces = [..."{}()[]xy+-/=^_,|!%", "1", "23", "0.5", " cm", "\\{", "\\}"];
for (const command of ["frac{", "sqrt{", "sin(", "log_2 ", "pi ", "cdot ", "boxed{", "left(", "right)", "cup ", "pm "])
  pieces.push(`\\${command}`);
/** @param {number} depth @returns {string} */
const expression = (depth) => {
  const form = random(depth > 0 ? 9 : 3);
  if (form < 3) return ["xyz"[random(3)] ?? "", String(random(100)), "\\pi "][form] ?? "";
  const [a, b] = [expression(depth - 1), expression(depth - 1)];
  return (
    [`\\frac{${a}}{${b}}`, `\\sqrt{${a}}`, `${a}+${b}`, `${a}-${b}`, `(${a})(${b})`, `\\sin(${a})`][form - 3] ?? ""
  );
};
const any = () => Array.from({ length: 1 + random(60) }, () => pieces[random(pieces.length)]).join("");
const boxed = () => `\\boxed{${expression(4)}}`;
for (const { name, completion, truth } of [
  { name: "random LaTeX", completion: any, truth: any },
  { name: "random expressions", completion: boxed, truth: () => expression(4) },
]) {
  /** @type {number[]} */
  const times = [];
  for (let i = 0; i < 1000; i++) {
    const [given, wanted] = [completion(), truth()];
    const begin = performance.now();
    await judge(given, wanted);
    times.push(performance.now() - begin);
  }
  times.sort((a, b) => a - b);
  const [median, p99, most] = [500, 990, 999].map((i) => (times[i] ?? NaN).toFixed(2));
  console.log(`1,000 ${name}: median ${median} ms, 99 % ${p99} ms, largest ${most} ms`);
}
console.log(`loading the algebra, once: ${load_ms.toFixed(0)} ms, ${load_mib.toFixed(0)} MiB`);
