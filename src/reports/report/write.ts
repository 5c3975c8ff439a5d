import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { stackedBars } from "../figures/bar-figure.js";
import { lineFigure } from "../figures/line-figure.js";
import { light } from "../figures/theme.js";
import { makeFolder, writing } from "../files.js";
import { reportHtml } from "./html.js";
import { reflectionSteps } from "./reflection-steps.js";
import type { Report } from "./report.js";
import { csvTable, latexTable } from "./table.js";

export interface WrittenReport {
  readonly html: string;
  readonly num_figures: number;
  readonly num_tables: number;
}

/** Pixels of a PNG for one unit of its SVG. */
const png_scale = 2;

/**
 * Writes report.html, which needs no other file, and beside it for papers figures/*.svg and *.png, tables/*.csv and *.tex,
 * and metrics.csv and reflection-steps.csv with every number of every step.
 */
export async function writeReport(report: Report, folder: string, written_at = new Date()): Promise<WrittenReport> {
  const html = join(folder, "report.html");
  const figures = figureFiles(report);
  await writing(folder, async () => {
    await makeFolder(join(folder, "figures"));
    await makeFolder(join(folder, "tables"));
    const draw = async ([name, svg]: readonly [string, string]): Promise<void> => {
      await writeFile(join(folder, "figures", `${name}.svg`), svg);
      await writeFile(join(folder, "figures", `${name}.png`), await png(svg));
    };
    const drawn = Promise.all(figures.map(draw));
    drawn.catch(() => undefined); // awaited below: the pictures are drawn on threads of their own, on which files wait too
    const page = reportHtml(report, written_at);
    for (const table of report.tables) {
      await writeFile(join(folder, "tables", `${table.id}.csv`), csvTable(table));
      await writeFile(join(folder, "tables", `${table.id}.tex`), latexTable(table));
    }
    await writeFile(join(folder, "tables", "metrics.csv"), csvTable(allMetrics(report)));
    await writeFile(join(folder, "tables", "reflection-steps.csv"), csvTable(reflectionSteps(report)));
    await drawn;
    await writeFile(html, page);
  });
  return { html, num_figures: figures.length, num_tables: report.tables.length + 2 };
}

function figureFiles({ sections, step_times, groups }: Report): readonly (readonly [name: string, svg: string])[] {
  const with_legend = groups.length > 1;
  const curves = sections.flatMap(({ figures }) =>
    figures.map((figure) => [figure.id, lineFigure({ with_legend, ...figure }, light)] as const),
  );
  const bars = step_times.map(({ name, parts }) => ({ name, parts }));
  const time = ["step-time", stackedBars({ title: "Share of a step's time", bars, width: 760 }, light)] as const;
  return bars.length === 0 ? curves : [...curves, time];
}

const png = (svg: string): Promise<Buffer> =>
  sharp(Buffer.from(svg), { density: 72 * png_scale })
    .flatten({ background: "#fff" })
    .png()
    .toBuffer();

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
