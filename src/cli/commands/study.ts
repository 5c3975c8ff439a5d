import type { CommandModule } from "yargs";
import { repeatable } from "../repeatable.js";
import type { StudyArguments } from "../study.js";

export const studyCommand: CommandModule<object, StudyArguments> = {
  command: "study <file>",
  describe: "Run what a comparison of models, data and algorithms over seeds lacks, then test and report it",
  builder: (yargs) =>
    yargs
      .positional("file", { type: "string", demandOption: true, describe: "YAML file (docs/study.md)" })
      .option("set", { ...repeatable, describe: "key=value, over the file's: --set seeds=[0,1]; may be repeated" })
      .option("folder", { type: "string", describe: "where everything is written (folder)" })
      .option("dry-run", {
        type: "boolean",
        default: false,
        describe: "list the runs, their work and the detectable difference; run nothing",
      })
      .option("report-only", { type: "boolean", default: false, describe: "report on the runs as they stand" })
      .option("redo", {
        ...repeatable,
        describe: "an entry, a run (rl/seed-0), changed, or all: deleted and made again, with what starts from it",
      })
      .option("json", { type: "boolean", default: false, describe: "one JSON object per event" })
      .example("$0 study configs/study_fashion_grid.yaml --dry-run", "what would be run, and what it could tell")
      .example("$0 study configs/study_fashion_grid.yaml", "run it, or go on after an interrupt")
      .example("$0 study configs/study_fashion_grid.yaml --report-only", "only write the report again"),
  handler: async (args) => {
    const { study } = await import("../study.js");
    await study(args);
  },
};
