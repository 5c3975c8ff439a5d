import { join } from "node:path";
import { problemText } from "../reports/read/problem.js";
import type { Run } from "../reports/read/run-folder-reader.js";
import { buildReport } from "../reports/report/report.js";
import { writeReport } from "../reports/report/write.js";
import { jsonLine } from "./present.js";

export interface ReportArguments {
  readonly folders: readonly string[];
  readonly output: string | undefined;
  readonly title: string | undefined;
  readonly json: boolean;
}

/** `sightloop report` */
export async function report({ folders, output, title, json }: ReportArguments): Promise<void> {
  const folderOf = (runs: readonly Run[]): string =>
    output ?? (runs.length === 1 ? join(runs[0]!.folder, "report") : "report");
  const built = await buildReport(folders, { title, output: folderOf });
  const runs = built.groups.flatMap((group) => group.runs);
  const { num_reflective } = built;
  const folder = folderOf(runs);
  const written = { ...(await writeReport(built, folder)), num_reflective };
  const problems = built.problems.map((problem) => `${problem.run}/${problemText(problem)}`);
  if (json) return console.log(jsonLine({ ...written, folder, num_runs: runs.length, problems }));
  for (const problem of problems) console.error(`left out: ${problem}`);
  for (const { name, bottleneck } of built.step_times) console.log(`${name}: ${bottleneck}`);
  console.log(`${written.html} (${runs.length} ${runs.length === 1 ? "run" : "runs"})`);
  console.log(`${written.num_figures} figures (SVG, PNG) and ${written.num_tables} tables (CSV, LaTeX) in ${folder}`);
  console.log(
    `${num_reflective} correct completions with a word of reflection in ${join(folder, "reflective-correct.jsonl")}`,
  );
}
