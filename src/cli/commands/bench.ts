import type { CommandModule } from "yargs";
import { deterministicOption, deviceOption, dtypeOption } from "../dtype.js";
import type { BenchArguments } from "../bench.js";

export const benchCommand: CommandModule<object, BenchArguments> = {
  command: "bench",
  describe: "Measure throughput and the share of what the machine can do, phase by phase",
  builder: (yargs) =>
    yargs
      .option("model", { type: "string", describe: "folder in the Hugging Face layout; default: a new random model" })
      .option("preset", {
        type: "string",
        default: "fashion_grid_tiny",
        describe: "of the random model, when no --model is given",
      })
      .option("prompts", { type: "number", default: 8, describe: "prompts in one step" })
      .option("completions", { type: "number", default: 8, describe: "completions of each prompt" })
      .option("new-tokens", { type: "number", default: 64, describe: "tokens of each completion; none ends earlier" })
      .option("image", { type: "number", default: 112, describe: "side of each image, pixels" })
      .option("images-per-prompt", { type: "number", default: 1 })
      .option("prompt-tokens", {
        type: "number",
        describe: "tokens of each prompt, image tokens included; default: a short question",
      })
      .option("steps", { type: "number", default: 5, describe: "timed steps, after one that warms up" })
      .option("trainable", {
        choices: ["all", "language_model"] as const,
        default: "language_model" as const,
        describe: "what the update trains; a frozen vision tower runs once per image",
      })
      .option("reference", {
        type: "boolean",
        default: true,
        describe: "score a frozen reference; --no-reference leaves it out",
      })
      .option("tokens-per-microbatch", { type: "number", default: 16384 })
      .option("dtype", dtypeOption)
      .option("device", deviceOption)
      .option("deterministic", deterministicOption)
      .option("activation-checkpointing", {
        type: "boolean",
        default: false,
        describe: "keep only every block's input for the backward pass",
      })
      .option("sweep", {
        choices: ["completions", "new_tokens", "prompt_length", "images", "width"] as const,
        describe: "step time as one size doubles, instead of the table of phases; width: random models only",
      })
      .option("seed", { type: "number", default: 0, describe: "of weights, images and sampling" })
      .option("threads", { type: "number", default: 0, describe: "0 takes all cores" })
      .option("json", { type: "boolean", default: false, describe: "one JSON object" })
      .example("$0 bench", "a tiny random model, in seconds")
      .example("$0 bench --model models/qwen --image 448 --new-tokens 256", "a model and sizes of your own")
      .example("$0 bench --sweep completions --json", "does the step time grow with the completions, and how fast?"),
  handler: async (args) => {
    const { benchCommandLine } = await import("../bench.js");
    await benchCommandLine(args);
  },
};
