import type { CommandModule } from "yargs";
import type { ReportArguments } from "../report.js";

export const reportCommand: CommandModule<object, ReportArguments> = {
  command: "report <folders..>",
  describe: "Write what runs have done as one HTML file, with figures and tables for a paper",
  builder: (yargs) =>
    yargs
      .positional("folders", {
        type: "string",
        array: true,
        demandOption: true,
        describe: "run folders, or folders of runs",
      })
      .option("output", {
        type: "string",
        describe: "folder to write to; default: report/ in the run's folder, or here for several",
      })
      .option("title", { type: "string", describe: "default: what the runs differ in" })
      .option("json", {
        type: "boolean",
        default: false,
        describe: "one JSON object: where the files are, what was left out",
      })
      .example("$0 report runs/a", "one run: runs/a/report/report.html")
      .example(
        "$0 report runs/grpo runs/dapo --output comparison",
        "several; runs of one config are seeds of one curve",
      ),
  handler: async (args) => {
    const { report } = await import("../report.js");
    await report(args);
  },
};
