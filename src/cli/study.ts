import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { problemText } from "../reports/read/problem.js";
import { writeReport } from "../reports/report/write.js";
import { planStudy, type StudyPlan } from "../study/plan.js";
import { studyReport } from "../study/report/study-report.js";
import { runStudy, type StudyOutcome } from "../study/run-study.js";
import { checkDefinitions, readState } from "../study/state.js";
import { studyWork } from "../study/work.js";
import { untilInterrupted } from "./interrupt.js";
import { dryRunText, powerText } from "./study-dry-run.js";
import { studyLines } from "./study-lines.js";

export interface StudyArguments {
  readonly file: string;
  readonly set: readonly string[];
  readonly folder: string | undefined;
  readonly "dry-run": boolean;
  readonly "report-only": boolean;
  readonly redo: readonly string[];
  readonly json: boolean;
}

const program = [process.execPath, fileURLToPath(new URL("main.js", import.meta.url))];

/** `sightloop study` */
export async function study(args: StudyArguments): Promise<void> {
  const plan = await planStudy(args.file, args.set, args.folder);
  if (args["dry-run"]) {
    const states = await readState(plan.folder, plan.study.name);
    if (args.redo.length === 0) checkDefinitions(plan.folder, plan.runs, states);
    const work = studyWork(plan, states);
    console.log(args.json ? JSON.stringify({ folder: plan.folder, ...work }) : dryRunText(plan, work));
    return;
  }
  const outcome = args["report-only"] ? undefined : await run(plan, args);
  await report(plan, args);
  if (outcome === undefined) return;
  const { failed, skipped } = outcome;
  if (failed.length + skipped.length === 0) return;
  console.error(
    `error: ${failed.length} runs failed (${failed.join(", ")})${skipped.length > 0 ? `, ${skipped.length} need them` : ""}\n` +
      `hint: their logs are in ${join(plan.folder, "logs")}; the same command tries them again`,
  );
  process.exitCode = 2;
}

async function run(plan: StudyPlan, args: StudyArguments): Promise<StudyOutcome> {
  using interrupt = untilInterrupted();
  const work = studyWork(plan, await readState(plan.folder, plan.study.name));
  if (!args.json) console.log(`${powerText(plan.study, work.power)}\n`);
  using lines = studyLines(plan, work, args);
  const set = args.set.map((one) => ` --set ${one}`).join("");
  const folder = args.folder === undefined ? "" : ` --folder ${args.folder}`;
  const command = `sightloop study ${args.file}${set}${folder}`;
  const events = runStudy(plan, { program, command, redo: args.redo }, interrupt.signal);
  for (;;) {
    const next = await events.next();
    if (next.done === true) return next.value;
    lines.show(next.value);
  }
}

async function report(plan: StudyPlan, { json }: StudyArguments): Promise<void> {
  const folder = join(plan.folder, "report");
  const built = await studyReport(plan, await readState(plan.folder, plan.study.name), folder);
  const { num_reflective } = built.report;
  const written = { ...(await writeReport(built.report, folder)), num_reflective };
  const problems = built.report.problems.map((problem) => `${problem.run}/${problemText(problem)}`);
  if (json)
    return console.log(JSON.stringify({ type: "report", ...written, folder, findings: built.findings, problems }));
  for (const problem of problems) console.error(`left out: ${problem}`);
  for (const { finding, verdict, statistic } of built.findings) console.log(`${finding}: ${verdict}. ${statistic}`);
  console.log(`${written.html}\n${written.num_figures} figures and ${written.num_tables} tables in ${folder}`);
}
