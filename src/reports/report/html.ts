import { createHash } from "node:crypto";
import { lineFigure } from "../figures/line-figure.js";
import { stackedBars } from "../figures/bar-figure.js";
import { escapeXml } from "../figures/theme.js";
import { problemText } from "../read/problem.js";
import { findReflection } from "../reflection.js";
import type { Run } from "../read/run-folder-reader.js";
import type { FigureSection } from "./curves.js";
import type { ExampleSample } from "./examples.js";
import { hover_script, page_style } from "./page.js";
import type { Report } from "./report.js";
import { htmlTable } from "./table.js";

/** One HTML file that needs nothing else: no network, no other file. */
export function reportHtml(report: Report, written_at: Date): string {
  const { title, groups, sections, tables, examples, reflective_examples } = report;
  const num_runs = groups.reduce((sum, { runs }) => sum + runs.length, 0);
  const hash = createHash("sha256").update(hover_script).digest("base64");
  const policy = `default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-${hash}'`;
  const contents = [...sections.map((section) => section.title), "Time", "Runs"];
  return [
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${policy}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">',
    `<title>${escapeXml(title)} · Sightloop</title><style>${page_style}</style></head><body>`,
    `<header><p class="kind">Sightloop report</p><h1>${escapeXml(title)}</h1>`,
    `<p class="lead">${escapeXml(summary(report))}</p>`,
    `<nav aria-label="Contents">${contents.map((name) => `<a href="#${anchor(name)}">${escapeXml(name)}</a>`).join("")}</nav>`,
    legend(report),
    "</header><main>",
    problemList(report),
    ...tables.filter(({ id }) => id.startsWith("study-")).map(htmlTable),
    ...tables.filter(({ id }) => id === "accuracy" || id === "selected").map(htmlTable),
    ...sections.map((section) => sectionHtml(section)),
    ...tables.filter(({ id }) => id === "training" || id === "reflection").map(htmlTable),
    samplesSection("Samples", examples),
    samplesSection("Samples that reflected and were right", reflective_examples),
    timeSection(report),
    `<section id="${anchor("Runs")}"><h2>Runs</h2>${differingTable(report)}${groups.flatMap(({ runs }) => runs.map(runHtml)).join("")}</section>`,
    `</main><footer>${num_runs} ${num_runs === 1 ? "run" : "runs"}, written ${written_at.toISOString().slice(0, 16).replace("T", " ")} UTC</footer>`,
    `<script>${hover_script}</script></body></html>\n`,
  ].join("\n");
}

const anchor = (title: string): string => title.toLowerCase().replace(/[^a-z]+/g, "-");

function summary({ groups, step_times }: Report): string {
  const runs = groups.flatMap((group) => group.runs);
  const steps = Math.max(0, ...runs.map(({ metrics }) => metrics.steps.at(-1)?.step ?? 0));
  const seeds = new Set(runs.map(({ config, name }) => config["seed"] ?? name)).size;
  const parts = [
    `${runs.length} ${runs.length === 1 ? "run" : "runs"}`,
    ...(runs.length > 1 ? [`${groups.length} ${groups.length === 1 ? "config" : "configs"}`, `${seeds} seeds`] : []),
    `${steps} steps`,
  ];
  const [time] = step_times;
  return `${parts.join(", ")}${groups.length === 1 && time !== undefined ? `. ${time.bottleneck}` : ""}.`;
}

/** One colour a group throughout. */
function legend({ groups }: Report): string {
  const entries = groups.map(({ name, runs }, i) => {
    const count = runs.length > 1 ? ` <small>mean of ${runs.length} seeds, band ± 1 standard deviation</small>` : "";
    return `<li><i style="background:var(--line-${i % 8})"></i>${escapeXml(name)}${count}</li>`;
  });
  return `<ul class="legend" aria-label="Colours">${entries.join("")}</ul>`;
}

function sectionHtml({ title, figures }: FigureSection): string {
  const drawn = figures.map((figure) => {
    const note = figure.caption === "" ? "" : `<figcaption>${escapeXml(figure.caption)}</figcaption>`;
    const points = figure.series.map(({ name, colour, points, is_faint }) =>
      is_faint === true ? null : { name, colour, points: points.map(([x, y]) => [x, Number(y.toPrecision(5))]) },
    );
    const data = JSON.stringify({ unit: figure.unit, series: points.filter((one) => one !== null) });
    return `<figure class="curve" data-figure="${escapeXml(data)}">${lineFigure(figure)}${note}</figure>`;
  });
  return `<section id="${anchor(title)}"><h2>${escapeXml(title)}</h2><div class="grid">${drawn.join("")}</div></section>`;
}

function timeSection({ step_times, tables }: Report): string {
  const bars = step_times.map(({ name, parts }) => ({ name, parts }));
  const lines = step_times.map(
    ({ name, bottleneck }) =>
      `<p class="bottleneck">${step_times.length > 1 ? `<b>${escapeXml(name)}</b> ` : ""}${escapeXml(bottleneck)}</p>`,
  );
  const body =
    bars.length === 0
      ? "<p>No step was timed.</p>"
      : `${stackedBars({ title: "Share of a step's time", bars })}${lines.join("")}`;
  const details = tables.filter(({ id }) => id.startsWith("step-time")).map(htmlTable);
  return `<section id="${anchor("Time")}"><h2>Time</h2><div class="wide">${body}</div>${details.join("")}</section>`;
}

const samplesSection = (title: string, samples: readonly ExampleSample[]): string =>
  samples.length === 0
    ? ""
    : `<section><h2>${title}</h2><div class="samples">${samples.map(exampleHtml).join("")}</div></section>`;

/** Escaped, with the reflection words marked. */
function marked(text: string): string {
  const hits = findReflection(text, "word");
  const parts = hits.map(({ start, end }, i) => {
    const before = text.slice(hits[i - 1]?.end ?? 0, start);
    return `${escapeXml(before)}<mark>${escapeXml(text.slice(start, end))}</mark>`;
  });
  return `${parts.join("")}${escapeXml(text.slice(hits.at(-1)?.end ?? 0))}`;
}

function exampleHtml(sample: ExampleSample): string {
  const { group, step, completion, answer, reward, reward_breakdown, is_correct, images } = sample;
  const parts = Object.entries(reward_breakdown).map(([name, value]) => `${name} ${value.toPrecision(3)}`);
  const verdict = is_correct === null ? "" : is_correct ? "correct" : "wrong";
  return [
    `<article class="sample ${verdict}">`,
    ...images.map((uri) => `<img src="${uri}" alt="image of the prompt">`),
    `<div><p class="facts">${escapeXml(group)} · step ${step} · reward ${reward.toPrecision(3)}${parts.length === 0 ? "" : ` (${escapeXml(parts.join(", "))})`}${verdict === "" ? "" : ` · <b>${verdict}</b>`}</p>`,
    `<pre>${marked(completion)}</pre><p class="facts">answer: ${escapeXml(answer)}</p></div></article>`,
  ].join("");
}

function differingTable({ differing, groups }: Report): string {
  if (differing.length === 0) return "";
  return htmlTable({
    ...{ id: "configs", title: "What differs", caption: "config keys that are not the same in all", text_columns: 99 },
    header: ["key", ...groups.map(({ name }) => name)],
    rows: differing.map(([key, values]) => [key, ...values]),
  });
}

function runHtml({ name, manifest, config_yaml }: Run): string {
  const { machine, git, ...rest } = manifest;
  const facts = Object.entries({ ...rest, ...(machine as object), git }).map(([key, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return `<tr><th scope="row">${escapeXml(key.replaceAll("_", " "))}</th><td class="text">${escapeXml(text ?? "")}</td></tr>`;
  });
  return [
    `<details><summary>${escapeXml(name)}</summary>`,
    facts.length === 0 ? "" : `<table class="facts-table"><tbody>${facts.join("")}</tbody></table>`,
    `<pre class="config">${escapeXml(config_yaml)}</pre></details>`,
  ].join("");
}

function problemList({ problems }: Report): string {
  if (problems.length === 0) return "";
  const items = problems.map(
    (problem) => `<li><b>${escapeXml(problem.run)}</b> ${escapeXml(problemText(problem))}</li>`,
  );
  return `<section class="problems" role="note"><h2>Left out</h2><ul>${items.join("")}</ul></section>`;
}
