#!/usr/bin/env node
import { readFileSync } from "node:fs";
import yargs, { type CommandModule } from "yargs";
import { hideBin } from "yargs/helpers";
import { benchCommand } from "./commands/bench.js";
import { dataCommand } from "./commands/data.js";
import { dashboardCommand } from "./commands/dashboard.js";
import { demoCommand } from "./commands/demo.js";
import { doctorCommand } from "./commands/doctor.js";
import { evaluateCommand } from "./commands/evaluate.js";
import { generateCommand } from "./commands/generate.js";
import { initCommand } from "./commands/init.js";
import { rewardsCommand } from "./commands/rewards.js";
import { reportCommand } from "./commands/report.js";
import { mergeCommand } from "./commands/merge.js";
import { sampleCommand } from "./commands/sample.js";
import { sftCommand } from "./commands/sft.js";
import { studyCommand } from "./commands/study.js";
import { trainCommand } from "./commands/train.js";
import { fail, UsageError } from "./fail.js";

// Commands import what they need when they run: `sightloop --help` must not load the engine.
const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const commands = [
  trainCommand,
  sftCommand,
  studyCommand,
  evaluateCommand,
  generateCommand,
  sampleCommand,
  initCommand,
  dataCommand,
  rewardsCommand,
  dashboardCommand,
  reportCommand,
  mergeCommand,
  benchCommand,
  doctorCommand,
  demoCommand,
] as readonly CommandModule<object, never>[];
const verbs = commands.map(({ command }) => String(command).split(" ")[0]);

async function main(): Promise<void> {
  const parser = yargs(hideBin(process.argv))
    .scriptName("sightloop")
    .usage("$0 <command>\n\nTrains vision-language models with reinforcement learning.")
    .example("$0 demo", "a small model learns from real photos, in minutes on a CPU")
    .example("$0 train run.yaml --dry-run", "what a run would do; `sightloop train --help` has more")
    .strict()
    .recommendCommands()
    .demandCommand(1, "no command given")
    .version(version)
    .help()
    .alias("h", "help")
    .wrap(Math.min(120, process.stdout.columns ?? 100))
    .exitProcess(false)
    .fail((message, error: Error | undefined) => {
      const verb = verbs.find((name) => name === process.argv[2]);
      throw (
        error ??
        new UsageError(message, `\`sightloop ${verb === undefined ? "" : `${verb} `}--help\` shows what it takes.`)
      );
    });
  for (const command of commands) parser.command(command);
  await parser.parseAsync();
}

// A reader that has seen enough (`| head`) ends the program quietly, as it would end any other.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(141);
  throw error;
});
main().catch(fail);
