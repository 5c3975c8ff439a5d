import { readdirSync, readFileSync } from "node:fs";
import { tableFromIPC } from "apache-arrow";
import { describe, expect, test } from "vitest";
import { hashes, reproducibleMetrics, smallConfig, trainHere, workspace } from "./support.js";

const place = workspace();

/** Weights, moments, rollouts and images; not what names paths, times or this machine. */
const results = (folder: string) =>
  hashes(folder, /(^|\/)(config\.yaml|manifest.*\.json|metrics\.jsonl|cursor\.json)$/);

describe("training", () => {
  test("writes all that a run folder promises, readable by any Arrow reader", async () => {
    const folder = place.path("whole");
    const { events, error } = await trainHere(smallConfig(place.model, folder));
    expect(error).toBeUndefined();
    expect(events.filter(({ type }) => type === "step")).toHaveLength(4);
    expect(readdirSync(`${folder}/checkpoints`).sort()).toEqual(["latest", "step-000002", "step-000004"]);
    expect(readdirSync(`${folder}/checkpoints/step-000004/model`)).toEqual(
      expect.arrayContaining(["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"]),
    );
    const table = tableFromIPC(readFileSync(`${folder}/rollouts/step-000001.arrow`));
    expect(table.numRows).toBe(12);
    for (const name of [
      "token_ids",
      "completion_mask",
      "rollout_logprobs",
      "reference_logprobs",
      "advantages",
      "prompt",
      "completion",
    ])
      expect(table.getChild(name)?.length, name).toBe(12);
    const images = readdirSync(`${folder}/images`);
    const shown = new Set([...table.getChild("image_ids")!].flatMap((ids: Iterable<string>) => [...ids]));
    for (const id of shown) expect(images).toContain(`${id}.png`);
  });

  test("twice with one seed gives the same bits", async () => {
    const folder = place.path("again");
    await trainHere(smallConfig(place.model, folder));
    expect(results(folder)).toEqual(results(place.path("whole")));
    expect(await reproducibleMetrics(folder)).toEqual(await reproducibleMetrics(place.path("whole")));
  });

  test("with another seed gives others", async () => {
    const folder = place.path("other-seed");
    await trainHere(smallConfig(place.model, folder, { seed: 1 }));
    const weights = "checkpoints/step-000004/model/model.safetensors";
    expect(results(folder)[weights]).not.toBe(results(place.path("whole"))[weights]);
  });

  test("stopped after step 2 and resumed gives the same bits as uninterrupted", async () => {
    const folder = place.path("stopped");
    const controller = new AbortController();
    const first = await trainHere(smallConfig(place.model, folder), {
      signal: controller.signal,
      onEvent: (event) => (event.type === "progress" && event.step === 3 ? controller.abort() : undefined),
    });
    expect(first.error).toMatchObject({ code: "INTERRUPTED" });
    expect(first.events.filter(({ type }) => type === "step")).toHaveLength(2);
    const second = await trainHere(smallConfig(place.model, folder), { resume: true });
    expect(second.error).toBeUndefined();
    expect(results(folder)).toEqual(results(place.path("whole")));
    expect(await reproducibleMetrics(folder)).toEqual(await reproducibleMetrics(place.path("whole")));
  });

  test("sampler and trainer agree in the first step", async () => {
    const lines = (await reproducibleMetrics(place.path("whole"))) as { rollout_mismatch_max?: number }[];
    expect(lines.find((line) => line.rollout_mismatch_max !== undefined)?.rollout_mismatch_max).toBeLessThan(1e-4);
  });
});

test("REINFORCE++ with recomputed log-probs, several updates a step and its KL in the reward", async () => {
  const { events, error } = await trainHere(
    smallConfig(place.model, null, {
      ...{ steps: 2, old_logprobs: "recompute", update_epochs: 2, evaluate: {} },
      algorithm: { name: "reinforce_plus_plus", kl_reward_coefficient: 0.01 },
    }),
  );
  expect(error).toBeUndefined();
  const steps = events.filter((event) => event.type === "step");
  expect(steps.map(({ metrics }) => metrics["optimizer_step"])).toEqual([4, 8]);
  for (const { metrics } of steps) expect(metrics["rollout_mismatch_max"]).toBeLessThan(1e-4);
});
