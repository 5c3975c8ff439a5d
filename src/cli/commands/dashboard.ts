import type { CommandModule } from "yargs";
import type { DashboardArguments } from "../dashboard.js";

export const dashboardCommand: CommandModule<object, DashboardArguments> = {
  command: "dashboard [folders..]",
  describe: "Follow runs in the browser: curves, comparison, and every sample with its tokens",
  builder: (yargs) =>
    yargs
      .positional("folders", {
        type: "string",
        array: true,
        default: ["runs"],
        describe: "run folders, or folders of runs",
      })
      .option("port", { type: "number", default: 7007, describe: "0 takes a free one" })
      .option("host", {
        type: "string",
        default: "127.0.0.1",
        describe: "another address is open to others, with a token",
      })
      .option("allow-host", {
        type: "string",
        array: true,
        nargs: 1,
        default: [],
        describe: "a name that a proxy calls it by; may be repeated",
      })
      .example("$0 dashboard runs", "every run below runs/, live, at http://127.0.0.1:7007")
      .example("ssh -L 7007:127.0.0.1:7007 machine", "from another machine, without opening it to the network"),
  handler: async (args) => {
    const { dashboard } = await import("../dashboard.js");
    await dashboard(args);
  },
};
