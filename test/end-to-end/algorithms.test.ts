import { beforeAll, describe, expect, test } from "vitest";
import type { TrainConfig } from "../../src/config/schema.js";
import type { Metrics, StepEvent, TrainEvent } from "../../src/pipeline/events.js";
import { runTrain } from "../../src/pipeline/run.js";
import { hashes, reproducibleMetrics, smallConfig, workspace } from "./support.js";

const place = workspace();
const small = {
  ...{ steps: 4, evaluate: {}, prompts_per_step: 3, completions_per_prompt: 2, completions_per_update: 6 },
  datasets: { train: { name: "fashion_grid", count: 50 } },
};

/** Half of the completions are right, whatever they say. */
const even = { name: "even", score: ({ completion }: { completion: string }) => completion.length % 2 };

interface How {
  readonly resume?: boolean;
  /** Interrupt the first step after this one that takes a second round. */
  readonly stop_after?: number;
  readonly reward?: typeof even;
}

async function run(config: TrainConfig, how: How = {}): Promise<readonly TrainEvent[]> {
  const { resume = false, stop_after = Infinity, reward = even } = how;
  const events: TrainEvent[] = [];
  const stop = new AbortController();
  const options = { resume, command: "again", base_folder: ".", rewards: [reward] };
  try {
    for await (const event of runTrain(config, options, stop.signal)) {
      events.push(event);
      const rounds = event.type === "progress" && /round/.test(event.unit);
      if (rounds && event.step > stop_after) stop.abort();
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
  return events;
}
const stepsOf = (events: readonly TrainEvent[]) => events.filter((event): event is StepEvent => event.type === "step");

describe("dynamic sampling", () => {
  const config = (name: string, changes: object = {}) =>
    smallConfig(place.model, place.path(name), { ...small, algorithm: { name: "dapo" }, ...changes });

  test("fills every step with prompts that have unequal rewards, and counts what it drew", async () => {
    const steps = stepsOf(await run(config("dapo")));
    expect(steps).toHaveLength(4);
    let seen = 0;
    for (const { metrics } of steps) {
      seen += metrics["prompts_sampled"]!;
      expect(metrics["prompts_seen"]).toBe(seen);
      expect(metrics["equal_reward_groups"]).toBe(0);
    }
    expect(seen).toBeGreaterThan(12);
  });

  test("a run stopped between two rounds of a step goes on bit for bit", async () => {
    const before = stepsOf(await run(config("stopped"), { stop_after: 1 })).length;
    expect(before).toBeLessThan(4);
    expect(stepsOf(await run(config("stopped"), { resume: true }))).toHaveLength(4 - before);
    const files = (name: string) => hashes(place.path(name), /(^|\/)(config\.yaml|manifest.*\.json|metrics\.jsonl)$/);
    const of = (all: Record<string, string>, part: RegExp) =>
      Object.fromEntries(Object.entries(all).filter(([file]) => part.test(file)));
    for (const part of [/^rollouts\//, /step-000004\/(model\/model|state)/, /step-000004\/cursor/])
      expect(of(files("stopped"), part)).toEqual(of(files("dapo"), part));
    const metricsOf = async (name: string) =>
      (await reproducibleMetrics(place.path(name))).map((line) => ({ ...line, rollout_mismatch_max: 0 }));
    expect(await metricsOf("stopped")).toEqual(await metricsOf("dapo"));
  });

  test("stops at its cap with a note, and the step keeps its size", async () => {
    const algorithm = { name: "grpo", dynamic_sampling: { max_prompts_factor: 2 } };
    const config = smallConfig(place.model, null, { ...small, steps: 1, algorithm });
    const events = await run(config, { reward: { name: "equal", score: () => 1 } });
    expect(stepsOf(events)[0]!.metrics).toMatchObject({
      ...{ prompts_sampled: 6, prompts_replaced: 3, equal_reward_groups: 1, reward_mean_sampled: 1 },
    });
    expect(events.find(({ type }) => type === "note")).toMatchObject({
      message: expect.stringMatching(/^step 1: only 0 of 6 .* 3 of 3 are filled up/) as string,
    });
  });
});

describe("switches reach the engine", () => {
  let plain: Metrics;
  beforeAll(async () => void (plain = await metricsOf({ name: "grpo" })));
  const metricsOf = async (algorithm: object, changes: object = {}): Promise<Metrics> => {
    const config = smallConfig(place.model, null, { ...small, steps: 1, update_epochs: 2, ...changes, algorithm });
    return stepsOf(await run(config))[0]!.metrics;
  };
  const correction = { mode: "truncate", level: "sequence", cap: 2 };

  test("importance correction reports its weights; without it they are absent", async () => {
    const corrected = await metricsOf(
      { name: "grpo", importance_correction: correction },
      { old_logprobs: "recompute" },
    );
    expect(corrected["importance_weight_mean"]).toBeCloseTo(1, 3);
    expect(corrected["effective_sample_size"]).toBeCloseTo(1, 3);
    expect(corrected["importance_capped"]).toBe(0);
    expect(plain).not.toHaveProperty("importance_weight_mean");
  });

  test.each([
    ["an entropy bonus", { name: "grpo", entropy_coefficient: 0.1 }],
    ["a KL term of another estimator", { name: "grpo", kl_loss_coefficient: 0.5, kl_loss_estimator: "k2" }],
    ["another aggregation", { name: "grpo", loss_aggregation: "constant" }],
    ["gspo", { name: "gspo" }],
    ["cispo", { name: "cispo" }],
    ["dr_grpo", { name: "dr_grpo" }],
    ["rloo", { name: "rloo", kl_reward_coefficient: 0.1 }],
    ["reinforce_plus_plus_baseline", { name: "reinforce_plus_plus_baseline", kl_loss_coefficient: 0.1 }],
  ])("%s changes the loss", async (_, algorithm) => {
    const ours = await metricsOf(algorithm);
    expect(ours["loss"]).not.toBe(plain["loss"]);
    expect(Number.isFinite(ours["loss"]!)).toBe(true);
    if ("kl_reward_coefficient" in algorithm) expect(ours["clamped_kl_rewards"]).toBe(0);
  });
});
