import { cpSync, existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tableFromIPC } from "apache-arrow";
import polars from "nodejs-polars";
import { describe, expect, test } from "vitest";
import { type RewardInput, type Sample, train } from "../../src/index.js";
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

  test("its rollouts are read by another implementation of Arrow (polars)", () => {
    const file = `${place.path("whole")}/rollouts/step-000001.arrow`;
    const frame = polars.readIPC(readFileSync(file)); // a path it takes only if it ends in .ipc
    const expected = tableFromIPC(readFileSync(file));
    expect(frame.columns).toEqual(expected.schema.fields.map(({ name }) => name));
    expect(frame.height).toBe(12);
    const column = (name: string): unknown[] => frame.getColumn(name).toArray();
    const lists = (name: string): number[][] => column(name).map((row) => [...(row as Iterable<number>)]);

    const ours = (name: string): number[][] => [...expected.getChild(name)!].map((row: Iterable<number>) => [...row]);
    for (const name of ["token_ids", "rollout_logprobs", "reference_logprobs", "policy_logprobs", "advantages"])
      expect(lists(name), name).toEqual(ours(name));
    const masks = lists("completion_mask");
    expect(masks).toEqual(ours("completion_mask"));
    expect(masks.map((row) => row.length)).toEqual(lists("token_ids").map((row) => row.length));
    for (const mask of masks) {
      expect(new Set(mask.map((value) => typeof value))).toEqual(new Set(["boolean"]));
      expect(mask.filter(Boolean).length).toBeGreaterThan(0); // a completion follows every prompt
      expect(mask[0]).toBe(false);
    }
    for (const name of ["prompt", "completion", "answer", "finish_reason", "sample_id"])
      expect(column(name), name).toEqual([...expected.getChild(name)!]);
    for (const text of column("answer")) expect(text).toMatch(/^\d+$/);
    expect(column("sample_index").map(Number)).toEqual([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
    expect(column("reward").map(Number)).toEqual([...expected.getChild("reward")!]);
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

  test("a model folder that goes away while training does not lose the checkpoint", async () => {
    const model = place.path("moved-model");
    cpSync(place.model, model, { recursive: true });
    const { error } = await trainHere(smallConfig(model, place.path("moved"), { steps: 1, evaluate: {} }), {
      onEvent: (event) => (event.type === "started" ? rmSync(model, { recursive: true }) : undefined),
    });
    expect(error).toBeUndefined();
    expect(readdirSync(place.path("moved", "checkpoints", "step-000001", "model"))).toEqual(
      expect.arrayContaining(["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"]),
    );
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

describe("the public train()", () => {
  const request = () => ({
    ...{
      model: place.model,
      steps: 3,
      threads: 1,
      prompts_per_step: 2,
      completions_per_prompt: 4,
      completions_per_update: 8,
    },
    dataset: Array.from({ length: 5 }, (_, i): Sample => ({
      id: `own-${i}`,
      question: "total?",
      answer: "5",
      images: [],
    })),
    rewards: [
      "accuracy" as const,
      { name: "short", weight: 0.5, score: ({ token_count }: RewardInput) => -token_count },
    ],
    sampling: { max_completion_tokens: 6 },
    algorithm: { name: "grpo" as const },
    optimizer: { learning_rate: 1e-3 },
  });

  test("fills in the config, and tells a mistake at once", () => {
    const { config } = train(request());
    expect(config.datasets.train).toEqual({ name: "custom" });
    expect(config.rewards).toEqual([
      { name: "accuracy", weight: 1, on_error: "zero" },
      { name: "custom", function: "short", weight: 0.5, on_error: "fail" },
    ]);
    expect(() => train({ ...request(), completions_per_update: 3 })).toThrow(
      "must divide the 8 completions of one step",
    );
    expect(() => train({ ...request(), stepss: 3 } as never)).toThrow('unknown key; did you mean "steps"?');
    for (const wrong of [
      { dataset: "a.jsonl" },
      { dataset: undefined },
      { rewards: undefined },
      { rewards: "accuracy" },
    ])
      expect(() => train({ ...request(), ...wrong } as never)).toThrow(
        expect.objectContaining({ code: "CONFIG_INVALID" }),
      );
  });

  test("left early, closes what it opened and can be started again", async () => {
    for (let turn = 0; turn < 2; turn++) {
      await using run = train({ ...request(), run_folder: place.path(`left-${turn}`) });
      for await (const event of run) if (event.type === "step") break;
      expect(existsSync(place.path(`left-${turn}`, "lock"))).toBe(false);
    }
  });

  test("aborted, writes a checkpoint that the same request goes on from", async () => {
    const controller = new AbortController();
    const seen: string[] = [];
    const follow = async (more: object): Promise<void> => {
      for await (const event of train({ ...request(), run_folder: place.path("aborted"), ...more })) {
        if (event.type !== "progress") seen.push(event.type);
        if (event.type === "step" && event.step === 1) controller.abort();
      }
    };
    await expect(follow({ signal: controller.signal })).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect(seen).toEqual(["started", "step", "checkpoint"]);
    await follow({ resume: true });
    expect(seen.slice(3)).toEqual(["started", "step", "step", "checkpoint", "done"]);
  });

  test("a reward that fails names itself and the sample", async () => {
    const broken = (): number => {
      throw new Error("no");
    };
    const run = train({ ...request(), rewards: [broken] });
    await expect(
      (async () => {
        for await (const _ of run);
      })(),
    ).rejects.toMatchObject({ code: "REWARD_FAILED", message: expect.stringContaining('"broken"') as string });
  });
});
