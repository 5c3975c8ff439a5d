import type { CommandModule } from "yargs";
import type { DemoArguments } from "../demo.js";

export const demoCommand: CommandModule<object, DemoArguments> = {
  command: "demo",
  describe: "Teach a small model from scratch to add up prices in real photos, in minutes on a CPU",
  builder: (yargs) =>
    yargs
      .option("seed", { type: "number", default: 0, describe: "of weights, data order and sampling" })
      .option("run-folder", { type: "string", describe: "default: runs/demo-<time>" })
      .option("sft-steps", { type: "number", describe: "fewer steps of the warm start, for a quick look" })
      .option("rl-steps", { type: "number", describe: "fewer steps of reinforcement learning, for a quick look" })
      .option("test-items", { type: "number", describe: "fewer test items, for a quick look" })
      .option("threads", { type: "number", default: 0, describe: "0 takes all cores" })
      .option("json", { type: "boolean", default: false, describe: "one JSON object per event; the table comes last" })
      .example("$0 demo", "random weights, warm start, reinforcement learning, a table"),
  handler: async (args) => {
    const { demo } = await import("../demo.js");
    await demo(args);
  },
};
