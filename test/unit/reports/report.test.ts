import { appendFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { report } from "../../../src/cli/report.js";
import { lineFigure } from "../../../src/reports/figures/line-figure.js";
import { linearScale, tickLabel } from "../../../src/reports/figures/scale.js";
import { escapeXml, light } from "../../../src/reports/figures/theme.js";
import { buildReport, type Report } from "../../../src/reports/report/report.js";
import { csvTable, htmlTable, latexTable } from "../../../src/reports/report/table.js";
import type { ReflectiveSample } from "../../../src/reports/report/reflective-samples.js";
import { rolloutIndex } from "../../../src/reports/read/rollout-index.js";
import { writeReport } from "../../../src/reports/report/write.js";
import { writeSyntheticRun } from "../../helpers/synthetic-run.mjs";

let root: string;
let built: Report;
let html: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "sightloop-report-"));
  for (const seed of [0, 1]) await writeSyntheticRun(join(root, "runs", "grpo", `seed-${seed}`), { seed, steps: 4 });
  const hostile = { note: "</script><script>alert(1)</script>", algorithm: { name: "dapo" } };
  await writeSyntheticRun(join(root, "runs", "<b>&"), { steps: 3, config: hostile });
  built = await buildReport([join(root, "runs")], { output: () => join(root, "out") });
  await writeReport(built, join(root, "out"), new Date(0));
  html = await readFile(join(root, "out", "report.html"), "utf8");
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe("a report of three runs in two groups", () => {
  test("seeds are one group, with a band; the bottleneck is named", () => {
    expect(built.groups.map(({ name, runs }) => [name, runs.length])).toEqual([
      ["<b>&", 1],
      ["grpo", 2],
    ]);
    const accuracy = built.sections[0]!.figures.find(({ id }) => id === "accuracy-validation-greedy")!;
    const mean = accuracy.series.find(({ name, is_faint }) => name === "grpo" && is_faint !== true)!;
    expect(mean.points.map(([step]) => step)).toEqual([0, 4]);
    expect(mean.band).toHaveLength(2);
    expect(accuracy.series.filter(({ is_faint }) => is_faint === true)).toHaveLength(2);
    expect(built.step_times.map(({ bottleneck }) => bottleneck)).toEqual([
      expect.stringMatching(/^bottleneck: /),
      expect.stringMatching(/^bottleneck: /),
    ]);
    expect(built.problems).toEqual([]);
  });

  test("one file that asks for nothing: no address but that of SVG, no other file, a policy that allows none", () => {
    expect(html.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:|src="(?!data:)|@import|url\(/);
    expect(html).toContain("default-src 'none'");
    expect(html).toMatch(/prefers-color-scheme:dark/);
    expect(html).toMatch(/@media print/);
    expect(html).toContain('src="data:image/png;base64,');
  });

  test("names and texts of runs are text in the page", () => {
    expect(html).not.toContain("<script>alert");
    expect(html).not.toContain("<b>&</");
    expect(html).toContain(escapeXml("<b>&"));
    expect(html.match(/<script>/g)).toHaveLength(1);
  });

  test("figures as SVG and PNG, tables as CSV and LaTeX, all metrics as CSV", async () => {
    const figures = await readdir(join(root, "out", "figures"));
    expect(figures).toEqual(expect.arrayContaining(["reward_mean.svg", "reward_mean.png", "step-time.svg"]));
    const { width, height } = await sharp(join(root, "out", "figures", "reward_mean.png")).metadata();
    expect([width, height]).toEqual([704, 416]);
    const tables = await readdir(join(root, "out", "tables"));
    expect(tables).toEqual(expect.arrayContaining(["accuracy.csv", "accuracy.tex", "metrics.csv"]));
    const [header, ...rows] = (await readFile(join(root, "out", "tables", "metrics.csv"), "utf8")).trim().split("\r\n");
    expect(header).toMatch(/^run,step,/);
    expect(rows).toHaveLength(4 + 4 + 3);
  });

  test("every figure is a PNG of its SVG, drawn and on white paper", async () => {
    const figures = await readdir(join(root, "out", "figures"));
    const pictures = figures.filter((name) => name.endsWith(".png"));
    expect(pictures.map((name) => name.replace(/png$/, "svg"))).toEqual(
      figures.filter((name) => name.endsWith(".svg")),
    );
    for (const name of pictures) {
      const data = await sharp(join(root, "out", "figures", name))
        .removeAlpha()
        .raw()
        .toBuffer();
      expect([...data.subarray(0, 3)], name).toEqual([255, 255, 255]);
      expect(new Set(data).size, name).toBeGreaterThan(8);
    }
  });

  test("reflection step by step, for both countings", async () => {
    const text = await readFile(join(root, "out", "tables", "reflection-steps.csv"), "utf8");
    const [header, ...rows] = text.trim().split("\r\n");
    expect(header).toMatch(
      /^run,step,counting,N,N\+,R,R\+,R \/ N,.*,length of R,length of others,re-check,.*,wait,yet$/,
    );
    expect(rows).toHaveLength(2 * (4 + 4 + 3));
    const cells = rows.map((row) => row.split(","));
    expect(cells.every(([, , , n, , r, , ratio]) => Number(ratio) === +r! / +n!)).toBe(true);
  });

  test("samples that reflected and were right are shown, their words marked", () => {
    expect(built.reflective_examples.length).toBeGreaterThan(0);
    expect(built.reflective_examples.every(({ is_correct }) => is_correct)).toBe(true);
    expect(html).toContain("reward 1.00 (accuracy 1.00)");
    expect(html).toContain("<mark>wait</mark>, <mark>check again</mark>.");
  });
});

test("correct completions that reflect are listed, with the places of their words", async () => {
  const lines = (await readFile(join(root, "out", "reflective-correct.jsonl"), "utf8")).trim().split("\n");
  const samples = lines.map((line) => JSON.parse(line) as ReflectiveSample);
  const expected = new Map<string, number>();
  for (const run of built.groups.flatMap(({ runs }) => runs)) {
    const index = rolloutIndex(run.folder);
    await index.poll();
    for (const { step, correct } of index.steps) {
      const reflective = await index.reflective(step);
      expected.set(`${run.name} ${step}`, correct!.filter((value, row) => value === 1 && reflective[row] === 1).length);
    }
  }
  expect(samples.length).toBeGreaterThan(0);
  for (const [key, count] of expected)
    expect(samples.filter(({ run, step }) => `${run} ${step}` === key).length, key).toBe(count);
  for (const { completion, words, answer, prompt, reward, reward_breakdown } of samples) {
    expect(reward_breakdown).toEqual({ accuracy: 1 });
    expect(words.length).toBeGreaterThan(0);
    for (const { word, start, end } of words) expect(completion.slice(start, end).toLowerCase()).toBe(word);
    expect([typeof answer, typeof prompt, typeof reward]).toEqual(["string", "string", "number"]);
  }
});

test("damaged files are named and left out; the rest is reported", async () => {
  const folder = join(root, "damaged");
  await writeSyntheticRun(folder, { steps: 4 });
  await appendFile(join(folder, "metrics.jsonl"), '{"type":"step","step":9,\nnot json\n{"type":"st');
  await truncate(join(folder, "rollouts", "step-000002.arrow"), 900);
  await writeFile(join(folder, "rollouts", "step-000003.arrow"), "");
  await writeFile(join(folder, "manifest.json"), "{");
  const { problems, sections } = await buildReport([folder]);
  expect(problems.map(({ file }) => file).sort()).toEqual([
    ...["manifest.json", "metrics.jsonl", "metrics.jsonl"],
    ...["rollouts/step-000002.arrow", "rollouts/step-000003.arrow"],
  ]);
  const reward = sections.flatMap(({ figures }) => figures).find(({ id }) => id === "reward_mean")!;
  expect(reward.series[0]!.points.map(([step]) => step)).toEqual([1, 2, 3, 4]);
});

test("many rollout files are read on threads: in their order, damaged ones left out", async () => {
  const folder = join(root, "many");
  const [steps, damaged] = [120, 57];
  await writeSyntheticRun(folder, { steps, prompts: 2, completions: 4 });
  await truncate(join(folder, "rollouts", `step-${String(damaged).padStart(6, "0")}.arrow`), 900);
  const { reflection, problems, num_reflective } = await buildReport([folder], { output: () => folder });
  const left = Array.from({ length: steps }, (_, i) => i + 1).filter((step) => step !== damaged);
  expect(reflection.get(folder)!.map(({ step }) => step)).toEqual(left);
  expect(problems.map(({ file }) => file)).toEqual(["rollouts/step-000057.arrow"]);
  const lines = (await readFile(join(folder, "reflective-correct.jsonl"), "utf8")).trim().split("\n");
  const listed = lines.map((line) => (JSON.parse(line) as ReflectiveSample).step);
  expect(listed).toEqual([...listed].sort((a, b) => a - b));
  expect([listed.length, listed.length > 50]).toEqual([num_reflective, true]);
  expect(reflection.get(folder)!.reduce((sum, point) => sum + point.reflective_correct!, 0)).toBe(num_reflective);
});

test("an empty metrics file still gives a page; a folder without a run is refused", async () => {
  const folder = join(root, "empty");
  await writeSyntheticRun(folder, { steps: 1 });
  await writeFile(join(folder, "metrics.jsonl"), "");
  await writeReport(await buildReport([folder]), join(root, "empty-out"));
  expect(await readFile(join(root, "empty-out", "report.html"), "utf8")).toContain("No step was timed.");
  const args = { output: undefined, title: undefined, json: false };
  await expect(report({ ...args, folders: [join(root, "out")] })).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
});

describe("figures", () => {
  test.each([
    [
      [0, 1],
      [0, 0.5, 1],
    ],
    [
      [0.13, 0.87],
      [0, 0.2, 0.4, 0.6, 0.8, 1],
    ],
    [
      [3, 3],
      [2.6, 2.8, 3, 3.2, 3.4],
    ],
    [
      [-2, 17],
      [-5, 0, 5, 10, 15, 20],
    ],
    [[1e9, 1e9 + 1e-9], undefined], // rounding, not a difference
    [[0, 5e-324], undefined],
  ])("ticks of %j", ([low, high], ticks) => {
    const scale = linearScale([low!, high!], [0, 100]);
    if (ticks !== undefined) expect(scale.ticks).toEqual(ticks);
    expect(scale.ticks.length).toBeLessThan(12);
    expect(scale.place(scale.domain[0])).toBe(0);
    expect(scale.place(scale.domain[1])).toBeCloseTo(100, 9);
  });

  test("labels tell neighbours apart and have no negative zero", () => {
    expect([-0.5, 0, 0.5].map((tick) => tickLabel(tick, [-0.5, 0, 0.5], ""))).toEqual(["−0.5", "0.0", "0.5"]);
    expect([0, 0.5].map((tick) => tickLabel(tick, [0, 0.5], "share"))).toEqual(["0 %", "50 %"]);
    expect([0, 20000].map((tick) => tickLabel(tick, [0, 20000], ""))).toEqual(["0k", "20k"]);
  });

  test("long curves keep their spikes in few points; values that are no numbers are left out", () => {
    const points = Array.from({ length: 5000 }, (_, i) => [i, i === 2345 ? 9 : i === 7 ? NaN : 1] as const);
    const svg = lineFigure(
      { title: "t", unit: "", x_label: "step", series: [{ name: "a", colour: 0, points }] },
      light,
    );
    const path = /class="line s0" d="M([^"]+)"/.exec(svg)![1]!.split("L");
    expect(path.length).toBeLessThanOrEqual(400);
    expect(Math.min(...path.map((place) => Number(place.split(" ")[1])))).toBeLessThan(46); // the highest value, 9, near the top of the frame
    expect(svg).not.toContain("NaN");
  });
});

describe("tables", () => {
  const table = {
    id: "t",
    title: "A & B",
    caption: "50 %_",
    header: ["run", "x"],
    rows: [
      ['<a>, "b"', "1 ± 2"],
      ["=1+1", "-3"],
    ],
  };
  test("CSV quotes, and marks what a spreadsheet would run", () => {
    expect(csvTable(table)).toBe('run,x\r\n"<a>, ""b""",1 ± 2\r\n\'=1+1,-3\r\n');
  });
  test("LaTeX escapes", () => {
    expect(latexTable(table)).toContain("\\caption{A \\& B. 50 \\%\\_}");
    expect(latexTable(table)).toContain('<a>, "b" & 1 $\\pm$ 2 \\\\');
  });
  test("HTML escapes", () => expect(htmlTable(table)).toContain("&#60;a&#62;, &#34;b&#34;"));
});
