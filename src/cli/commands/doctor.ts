import type { CommandModule } from "yargs";

export const doctorCommand: CommandModule<object, { readonly json: boolean }> = {
  command: "doctor",
  describe: "Check what sightloop needs on this machine, and say what to fix",
  builder: (yargs) =>
    yargs
      .option("json", { type: "boolean", default: false, describe: "the findings as one JSON array" })
      .example("$0 doctor", "exit code 2 if something needed is broken"),
  handler: async ({ json }) => {
    const { doctor } = await import("../doctor.js");
    if (!(await doctor({ json }))) process.exitCode = 2;
  },
};
