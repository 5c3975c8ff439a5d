import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stackedBars } from "../figures/bar-figure.js";
import { light } from "../figures/theme.js";
import { makeFolder, writing } from "../files.js";
import { reportHtml } from "./html.js";
import { drawSections, pictures } from "./pictures.js";
import { reflectionSteps } from "./reflection-steps.js";
import type { Report } from "./report.js";
import { csvTable, latexTable } from "./table.js";

export interface WrittenReport {
  readonly html: string;
  readonly num_figures: number;
  readonly num_tables: number;
}

/**
 * Writes report.html, which needs no other file, and beside it for papers figures/*.svg and *.png, tables/*.csv and *.tex,
 * and metrics.csv and reflection-steps.csv with every number of every step.
 */
export async function writeReport(report: Report, folder: string, written_at = new Date()): Promise<WrittenReport> {
  const html = join(folder, "report.html");
  const { sections, step_times, groups, tables } = report;
  const drawn = report.pictures ?? pictures(join(folder, "figures"));
  drawSections(drawn, sections, groups.length > 1);
  const bars = step_times.map(({ name, parts }) => ({ name, parts }));
  const time = { title: "Share of a step's time", bars, width: 760 };
  if (bars.length > 0) drawn.draw("step-time", () => stackedBars(time, light));
  await writing(folder, async () => {
    await makeFolder(join(folder, "tables"));
    const page = reportHtml(report, written_at);
    for (const table of tables) {
      await writeFile(join(folder, "tables", `${table.id}.csv`), csvTable(table));
      await writeFile(join(folder, "tables", `${table.id}.tex`), latexTable(table));
    }
    await writeFile(join(folder, "tables", "metrics.csv"), csvTable(allMetrics(report)));
    await writeFile(join(folder, "tables", "reflection-steps.csv"), csvTable(reflectionSteps(report)));
    await drawn.finish();
    await writeFile(html, page);
  });
  return { html, num_figures: drawn.size, num_tables: tables.length + 2 };
}

function allMetrics({ groups }: Report): { readonly header: readonly string[]; readonly rows: readonly string[][] } {
  const runs = groups.flatMap((group) => group.runs);
  const names = [...new Set(runs.flatMap((run) => run.metrics.steps.flatMap(({ metrics }) => Object.keys(metrics))))];
  return {
    header: ["run", "step", ...names],
    rows: runs.flatMap((run) =>
      run.metrics.steps.map(({ step, metrics }) => [
        ...[run.name, String(step)],
        ...names.map((name) => (metrics[name] === undefined ? "" : String(metrics[name]))),
      ]),
    ),
  };
}
