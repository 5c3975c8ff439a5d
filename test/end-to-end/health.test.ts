/** A run that watches itself: parity, alarms, skipped updates, kept checkpoints, epochs; with the real engine. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tableFromIPC } from "apache-arrow";
import { beforeAll, describe, expect, test } from "vitest";
import { type RewardInput, train, type TrainEvent } from "../../src/index.js";
import { readAlarms } from "../../src/reports/alarms-file.js";
import { reproducibleMetrics, smallConfig, smallRun, trainHere, workspace } from "./support.js";

const place = workspace();
/** Questions that no number answers: a random model is never right, not even by luck. */
beforeAll(() => {
  const rows = Array.from({ length: 10 }, (_, i) => ({ id: `r${i}`, question: "total?", answer: "none" }));
  writeFileSync(place.path("rows.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
});
const plain = { datasets: { train: smallRun.datasets.train }, evaluate: {}, checkpoint: { every_steps: 0 } };
/** Log-probs of the tiny model's random weights are the same to the last bit, sampled and scored. */
const wideModel = (): string => join(import.meta.dirname, "..", "fixtures", "qwen2_5_vl", "checkpoint");
/** A random model hardly ever stops within 6 tokens: alarms within a few steps. */
const watched = () => ({
  ...plain,
  steps: 6,
  datasets: { train: { name: "jsonl", path: place.path("rows.jsonl") } },
  health: { alarms: { equal_rewards: { steps: 3 }, truncation: { steps: 2, limit: 0.4 } } },
  parity: { every_steps: 3, prompts: 1 },
});
const alarmsOf = (events: readonly TrainEvent[]) => events.filter((event) => event.type === "alarm");
const file = (folder: string) => readAlarms(`${folder}/alarms.jsonl`);

describe("alarms", () => {
  test("are events, lines of alarms.jsonl, and said once", async () => {
    const folder = place.path("alarms");
    const { events, error } = await trainHere(smallConfig(place.model, folder, watched()));
    expect(error).toBeUndefined();
    const raised = alarmsOf(events);
    expect(raised.map(({ name, state, step }) => `${name} ${state} ${step}`)).toEqual([
      "truncation raised 2",
      "equal_rewards raised 3",
    ]);
    expect(raised[1]!.message).toContain("from 1 to 3, at last 100.0 %, a reward of 0");
    expect(await file(folder)).toEqual(raised);
    const at = events.findIndex((event) => event.type === "alarm" && event.name === "equal_rewards");
    expect(events[at - 1]).toMatchObject({ type: "step", step: 3 });
  });

  test("one that stops leaves a checkpoint and every older one, and says how to go on", async () => {
    const folder = place.path("stopped");
    const config = smallConfig(place.model, folder, {
      ...watched(),
      checkpoint: { every_steps: 1, keep_last: 1 },
      health: { alarms: { ...watched().health.alarms, equal_rewards: { steps: 3, on_alarm: "stop" } } },
    });
    const first = await trainHere(config);
    expect(first.error).toMatchObject({ name: "UserError", code: "HEALTH_ALARM" });
    const { message, hint } = first.error as { message: string; hint: string };
    expect(message).toMatch(
      /^stopped after step 3 of 6 by the alarm equal_rewards: reward_mode_share was .* Usually nothing/,
    );
    expect(hint).toMatch(/rollouts\/.* To go on all the same: again$/);
    expect(readdirSync(`${folder}/checkpoints`)).toEqual(["latest", "step-000002", "step-000003"]);

    const second = await trainHere(config, { resume: true });
    expect(second.error).toBeUndefined();
    expect(second.events[0]).toMatchObject({ type: "started", step: 3 });
    expect(alarmsOf(second.events)).toEqual([]);
    expect(await reproducibleMetrics(folder)).toEqual(await reproducibleMetrics(place.path("alarms")));
    expect((await file(folder)).map(({ name }) => name)).toEqual(["truncation", "equal_rewards"]);
  });

  test.each([1, 3])("a run stopped after step %i and resumed has the same metrics and alarms", async (stop_after) => {
    const folder = place.path(`resumed-${stop_after}`);
    const config = smallConfig(place.model, folder, watched());
    const controller = new AbortController();
    const onEvent = (event: TrainEvent) =>
      event.type === "step" && event.step === stop_after ? controller.abort() : undefined;
    expect((await trainHere(config, { signal: controller.signal, onEvent })).error).toMatchObject({
      code: "INTERRUPTED",
    });
    expect((await trainHere(config, { resume: true })).error).toBeUndefined();
    expect(await reproducibleMetrics(folder)).toEqual(await reproducibleMetrics(place.path("alarms")));
    expect(await file(folder)).toEqual(await file(place.path("alarms")));
  });
});

describe("parity", () => {
  test("is measured in the first step and every third, on a part, well within its limit", async () => {
    const lines = (await reproducibleMetrics(place.path("alarms"))) as Record<string, number>[];
    const seen = lines.filter((line) => line["rollout_mismatch_max"] !== undefined);
    expect(seen.map((line) => line["step"])).toEqual([1, 3, 6]);
    for (const line of seen) {
      expect(line["rollout_mismatch_to_limit"]).toBeLessThan(1);
      expect(line["rollout_mismatch_ess"]).toBeGreaterThan(0.999);
      expect(line["rollout_mismatch_sequence_ess"]).toBeGreaterThan(0.999);
    }
  });

  test.each([
    ["the first step", false],
    ["the first step after a resume", true],
  ])("beyond a limit ends the run before it learns, in %s", async (_, resume) => {
    const folder = place.path(`gate-${resume}`);
    const changes = { ...plain, steps: 2, checkpoint: { every_steps: 1 } };
    if (resume) await trainHere(smallConfig(place.model, folder, { ...changes, steps: 1 }));
    const strict = { ...changes, parity: { every_steps: 0, max: 1e-30, ess: null } };
    const model = resume ? place.model : wideModel();
    const { events, error } = await trainHere(smallConfig(model, folder, strict), { resume });
    expect(error).toMatchObject({ code: "ROLLOUT_MISMATCH" });
    expect((error as Error).message).toMatch(/rollout_mismatch_max \d\.\d\de-\d nats, the limit is 1e-30/);
    expect(events.filter(({ type }) => type === "step")).toEqual([]);
  });

  test("with recomputed log-probs is measured in every step", async () => {
    const { events } = await trainHere(
      smallConfig(place.model, null, { ...plain, steps: 2, old_logprobs: "recompute", parity: { every_steps: 0 } }),
    );
    const steps = events.filter((event) => event.type === "step");
    for (const { metrics } of steps) expect(metrics["rollout_mismatch_to_limit"]).toBeLessThan(1);
    expect(steps).toHaveLength(2);
  });
});

describe("updates that must not be learned from", () => {
  /** A run whose rewards of the given steps are beyond float32; 8 completions and one update a step. */
  async function follow(run_folder: string, bad_steps: readonly number[], health: object) {
    const events: TrainEvent[] = [];
    let graded = 0;
    const explodes = ({ token_count }: RewardInput): number =>
      bad_steps.includes(1 + Math.floor(graded++ / 8)) ? 1e300 * token_count : -token_count;
    const run = train({
      ...{ model: place.model, run_folder, steps: 5, threads: 1, algorithm: { name: "grpo" }, health },
      ...{ prompts_per_step: 2, completions_per_prompt: 4, completions_per_update: 8 },
      ...{ dataset: { name: "fashion_grid", count: 10 }, rewards: [explodes], sampling: smallRun.sampling },
      optimizer: { learning_rate: 1e-3 },
    });
    try {
      for await (const event of run) events.push(event);
      return { events, error: undefined };
    } catch (error) {
      return { events, error };
    }
  }

  test("are left out, counted, kept in diverged/ and told", async () => {
    const folder = place.path("skips");
    const { events, error } = await follow(folder, [2, 3], { non_finite: "skip", max_consecutive_skips: 2 });
    expect(error).toBeUndefined();
    const steps = events.filter((event) => event.type === "step");
    expect(steps.map(({ metrics }) => metrics["skipped_updates"])).toEqual([0, 1, 1, 0, 0]);
    expect(steps.map(({ metrics }) => metrics["loss"] !== undefined)).toEqual([true, false, false, true, true]);
    expect(steps.at(-1)!.metrics["optimizer_step"]).toBe(5);
    const skipped = alarmsOf(events).filter(({ name }) => name === "skipped_updates");
    expect(skipped.map(({ state, step }) => `${state} ${step}`)).toEqual(["raised 2", "cleared 4"]);
    expect(readdirSync(`${folder}/diverged`)).toEqual(
      ["2.arrow", "2.json", "3.arrow", "3.json"].map((name) => `step-00000${name}`),
    );
  });

  test("end the run when too many come in a row", async () => {
    const { events, error } = await follow(place.path("cap"), [2, 3, 4], {
      non_finite: "skip",
      max_consecutive_skips: 2,
    });
    expect(error).toMatchObject({ code: "TRAINING_DIVERGED" });
    expect(events.filter(({ type }) => type === "step")).toHaveLength(3);
  });
});

test("keep_best keeps the best evaluated checkpoint however old, and the end says which", async () => {
  const folder = place.path("best");
  const config = smallConfig(place.model, folder, {
    ...{ steps: 4, evaluate: { every_steps: 1, settings: [{ name: "t1", temperature: 1 }] } },
    checkpoint: { every_steps: 1, keep_last: 1, keep_best: 1 },
  });
  const { events, error } = await trainHere(config);
  expect(error).toBeUndefined();
  const scores = events.flatMap((event) =>
    event.type === "evaluated" && event.step > 0 ? [event.results[0]!.accuracy] : [],
  );
  const best = 1 + scores.indexOf(Math.max(...scores)); // a random model is never right: the first of equals
  const done = events.at(-1)!;
  expect(done).toMatchObject({ type: "done", best: { step: best, score: scores[best - 1] } });
  expect(readdirSync(`${folder}/checkpoints`).filter((name) => name.startsWith("step-"))).toEqual(
    [...new Set([best, 4])].map((step) => `step-00000${step}`),
  );
  expect(existsSync(`${folder}/checkpoints/best`)).toBe(true);
});

test("every sample is drawn once an epoch where the step does not divide it, interrupted or not", async () => {
  // 10 samples, 3 a step: three epochs in ten steps, whose borders lie inside steps 4 and 7.
  const config = smallConfig(place.model, place.path("epochs"), {
    ...{ ...plain, steps: undefined, epochs: 3, checkpoint: { every_steps: 0 } },
    ...{ completions_per_prompt: 2, completions_per_update: 6, sampling: { max_completion_tokens: 2 } },
  });
  const controller = new AbortController();
  const onEvent = (event: TrainEvent) => (event.type === "step" && event.step === 4 ? controller.abort() : undefined);
  await trainHere(config, { signal: controller.signal, onEvent });
  const { events } = await trainHere(config, { resume: true });
  expect(events.at(-1)).toMatchObject({ type: "done", step: 10 });
  const drawn = readdirSync(`${place.path("epochs")}/rollouts`).flatMap((name) => {
    const table = tableFromIPC(readFileSync(`${place.path("epochs")}/rollouts/${name}`));
    return [...table.getChild("sample_id")!].filter((_, row) => row % 2 === 0).map(String);
  });
  expect(drawn).toHaveLength(30);
  for (const epoch of [0, 1, 2]) expect(new Set(drawn.slice(10 * epoch, 10 * epoch + 10)).size).toBe(10);
  expect(drawn.slice(0, 10)).not.toEqual(drawn.slice(10, 20));
});

test("an interrupt while the weights load ends the run at once, and leaves nothing", async () => {
  const folder = place.path("loading");
  const error: unknown = await trainHere(smallConfig(place.model, folder, plain), {
    signal: AbortSignal.abort(),
  }).then((ran) => ran.error);
  expect(error).toMatchObject({
    ...{ code: "INTERRUPTED", message: "interrupted while the model was being loaded" },
    hint: "Nothing was changed. Start the run again.",
  });
  expect(existsSync(folder)).toBe(false);
});
