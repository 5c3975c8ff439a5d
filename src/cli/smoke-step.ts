import { join } from "node:path";
import { trainConfigSchema } from "../config/schema.js";
import { runTrain } from "../pipeline/run.js";
import { initFolder, presetFolder } from "./init-model.js";

/** One step of reinforcement learning on a tiny random model, in a temporary folder. Returns a line about it. */
export async function smokeStep(folder: string): Promise<string> {
  const model = join(folder, "model");
  await initFolder(await presetFolder({ preset: "fashion_grid_tiny" }), model, 0);
  const config = trainConfigSchema.parse({
    model: { path: model },
    ...{ steps: 1, threads: 1 },
    ...{ prompts_per_step: 2, completions_per_prompt: 2, completions_per_update: 4 },
    datasets: { train: { name: "fashion_grid", count: 2 } },
    sampling: { max_completion_tokens: 4 },
    algorithm: { name: "grpo", kl_loss_coefficient: 0.01 },
    optimizer: { learning_rate: 1e-3 },
    rewards: [{ name: "accuracy" }],
  });
  const options = { resume: false, command: "sightloop doctor", base_folder: folder };
  const start = performance.now();
  let mismatch = Number.NaN;
  for await (const event of runTrain(config, options, new AbortController().signal))
    if (event.type === "step") mismatch = event.metrics["rollout_mismatch_max"] ?? Number.NaN;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  return `a tiny model sampled, was graded and learned in ${seconds} s; log-probs of sampler and trainer agree within ${mismatch.toExponential(1)} nats`;
}
