#!/usr/bin/env node
import { readFileSync } from "node:fs";
import yargs from "yargs";
import { hideBin } from "yargs/helpers";
import { demoCommand } from "./commands/demo.js";
import { doctorCommand } from "./commands/doctor.js";
import { evaluateCommand } from "./commands/evaluate.js";
import { generateCommand } from "./commands/generate.js";
import { initCommand } from "./commands/init.js";
import { sftCommand } from "./commands/sft.js";
import { trainCommand } from "./commands/train.js";
import { fail, UsageError } from "./fail.js";

// Commands import what they need when they run: `sightloop --help` must not load the engine.
const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

void yargs(hideBin(process.argv))
  .scriptName("sightloop")
  .usage("$0 <command>\n\nTrains vision-language models with reinforcement learning.")
  .command(trainCommand)
  .command(sftCommand)
  .command(evaluateCommand)
  .command(generateCommand)
  .command(initCommand)
  .command(doctorCommand)
  .command(demoCommand)
  .strict()
  .recommendCommands()
  .demandCommand(1, "Name a command; `sightloop --help` lists them.")
  .version(version)
  .help()
  .alias("h", "help")
  .wrap(Math.min(120, process.stdout.columns ?? 100))
  .exitProcess(false)
  .fail((message, error: Error | undefined) => {
    throw error ?? new UsageError(message);
  })
  .parseAsync()
  .catch(fail);
