import type { CommandModule } from "yargs";
import { adapterOption } from "../adapter.js";
import { deterministicOption, deviceOption, dtypeOption } from "../dtype.js";
import { repeatable } from "../repeatable.js";
import type { GenerateArguments } from "../generate.js";

export const generateCommand: CommandModule<object, GenerateArguments> = {
  command: "generate",
  describe: "Answer one question about images; the text appears as it is sampled",
  builder: (yargs) =>
    yargs
      .option("model", { type: "string", demandOption: true, describe: "folder in the Hugging Face layout" })
      .option("adapter", adapterOption)
      .option("image", { ...repeatable, describe: "an image file; may be repeated" })
      .option("question", { type: "string", demandOption: true, describe: "may place images by <image> markers" })
      .option("system-prompt", { type: "string", describe: "instead of the chat template's own" })
      .option("assistant-prefix", { type: "string", default: "", describe: "text that the answer begins with" })
      .option("temperature", { type: "number", default: 0, describe: "0 is greedy" })
      .option("top-p", { type: "number", default: 1 })
      .option("top-k", { type: "number", default: 0, describe: "0 keeps every token" })
      .option("max-completion-tokens", { type: "number", default: 512 })
      .option("dtype", dtypeOption)
      .option("device", deviceOption)
      .option("deterministic", deterministicOption)
      .option("seed", { type: "number", default: 0 })
      .option("threads", { type: "number", default: 0, describe: "0 takes all cores" })
      .option("json", { type: "boolean", default: false, describe: "one JSON object at the end, no streaming" })
      .example('$0 generate --model models/tiny --image grid.png --question "total?"', "a greedy answer"),
  handler: async (args) => {
    const { generate } = await import("../generate.js");
    await generate(args);
  },
};
