import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { healthSchema } from "../../../src/config/health.js";
import { alarms } from "../../../src/health/alarms.js";
import { healthMonitor } from "../../../src/health/monitor.js";
import type { Metrics } from "../../../src/pipeline/events.js";
import { metric } from "../../../src/reports/metrics.js";

const config = (alarms: object = {}) => healthSchema.parse({ alarms });

/** What the monitor says of steps 1, 2, ... */
function follow(steps: readonly Metrics[], settings = config(), seen = 0): readonly string[] {
  const history = steps.slice(0, seen).map((metrics, i) => ({ step: i + 1, metrics }));
  const monitor = healthMonitor(settings, history);
  return steps
    .slice(seen)
    .flatMap((metrics, i) => monitor.observe({ step: seen + i + 1, metrics }).alarms)
    .map(({ step, name, state, first_step }) => `${name} ${state} ${first_step}-${step}`);
}

const entropies = (...values: readonly number[]): readonly Metrics[] => values.map((entropy) => ({ entropy }));
const twice = config({ entropy_collapse: { limit: 0.1, steps: 2 } });

describe("an alarm", () => {
  test.each([
    ["is raised after its steps in a row, once", [1, 0, 0, 0, 0], ["entropy_collapse raised 2-3"]],
    ["is not raised by steps apart", [0, 1, 0, 1, 0], []],
    ["is raised at the limit itself", [0.1, 0.1], ["entropy_collapse raised 1-2"]],
    [
      "is cleared after as many good steps, and can come again",
      [0, 0, 1, 0, 1, 1, 0, 0],
      ["entropy_collapse raised 1-2", "entropy_collapse cleared 5-6", "entropy_collapse raised 7-8"],
    ],
    ["takes NaN for wrong", [Number.NaN, Number.NaN], ["entropy_collapse raised 1-2"]],
  ])("%s", (_, values, expected) => {
    expect(follow(entropies(...values), twice)).toEqual(expected);
  });

  test("rests in steps that lack its metric", () => {
    expect(follow([{ entropy: 0 }, {}, { entropy: 0 }], twice)).toEqual(["entropy_collapse raised 1-3"]);
  });

  test("that is ignored says nothing", () => {
    const off = config({ entropy_collapse: { limit: 0.1, steps: 2, on_alarm: "ignore" } });
    expect(follow(entropies(0, 0, 0), off)).toEqual([]);
  });

  test("goes on after a resume as if there had been none", () => {
    const steps = entropies(0, 0, 1, 0, 1, 1, 0, 0, 0);
    const whole = follow(steps, twice);
    for (let seen = 0; seen < steps.length; seen++) {
      const before = follow(steps.slice(0, seen), twice);
      expect([...before, ...follow(steps, twice, seen)], `resumed after ${seen}`).toEqual(whole);
    }
  });
});

/** Healthy in every respect. */
const healthy: Metrics = {
  ...{ rollout_mismatch_to_limit: 0.1, skipped_updates: 0, reward_mode: 1, reward_mode_share: 0.6 },
  ...{ equal_reward_groups: 0.3, entropy: 0.5, repetition: 0.1, truncated: 0.05, completion_length_ratio: 1.2 },
  ...{ completion_length_mean: 100, grad_norm: 0.3 },
};

describe.each([
  [
    "rollout_mismatch",
    { rollout_mismatch_to_limit: 1.5 },
    /rollout_mismatch_to_limit was at or above 1 in step 31: 1.50$/,
  ],
  ["rollout_mismatch", { rollout_mismatch_to_limit: Number.NaN }, /: NaN$/],
  ["skipped_updates", { skipped_updates: 2 }, /skipped_updates was at or above 1 updates in step 31: 2 updates$/],
  ["equal_rewards", { reward_mode: 0, reward_mode_share: 1 }, /from 31 to 35, at last 100.0 %, a reward of 0$/],
  [
    "equal_reward_groups",
    { equal_reward_groups: 0.95 },
    /at or above 90.0 % in all steps from 31 to 40, at last 95.0 %$/,
  ],
  [
    "entropy_collapse",
    { entropy: 0.001 },
    /at or below 0.0100 nats\/token in all steps from 31 to 35, at last 0.00100 nats\/token$/,
  ],
  ["repetition", { repetition: 0.8 }, /at last 80.0 %$/],
  ["truncation", { truncated: 0.9 }, /at last 90.0 %$/],
  ["length_gap", { completion_length_ratio: 4 }, /completion_length_ratio was at or above 3 .* at last 4$/],
  [
    "length_collapse",
    { completion_length_mean: 10 },
    /completion_length_change was at or below 0.250 .* at last 0.100$/,
  ],
  ["grad_norm_spike", { grad_norm: 30 }, /grad_norm_ratio was at or above 10 in step 31: 100$/],
] as const)("%s %j", (name, change, message) => {
  test("is raised by what it is for, and by nothing else", () => {
    const monitor = healthMonitor(config());
    const events = Array.from({ length: 45 }, (_, i) => {
      const metrics = i < 30 ? healthy : { ...healthy, ...change };
      return monitor.observe({ step: i + 1, metrics }).alarms;
    }).flat();
    expect(events.filter(({ state }) => state === "raised").map((event) => event.name)).toEqual([name]);
    expect(events[0]).toMatchObject({ state: "raised", metric: alarms[name].metric, on_alarm: "warn" });
    expect(events[0]!.message).toMatch(message);
    expect(events[0]!.meaning.length).toBeGreaterThan(40);
    expect(events[0]!.remedy.length).toBeGreaterThan(40);
  });
});

test("equal rewards are not told a second time as equal groups", () => {
  const same = { ...healthy, reward_mode_share: 1, equal_reward_groups: 1 };
  expect(follow(Array.from({ length: 20 }, () => same))).toEqual(["equal_rewards raised 1-5"]);
  const ignored = config({ equal_rewards: { on_alarm: "ignore" } });
  expect(
    follow(
      Array.from({ length: 20 }, () => same),
      ignored,
    ),
  ).toEqual(["equal_reward_groups raised 1-10"]);
});

test("a step is compared with those before it: gradient norms with 20, lengths with the first 10", () => {
  const monitor = healthMonitor(config());
  const added = (step: number, grad_norm: number, completion_length_mean: number) =>
    monitor.observe({ step, metrics: { grad_norm, completion_length_mean } }).metrics;
  for (let step = 1; step <= 5; step++) expect(added(step, step, 10 * step)).toEqual({});
  expect(added(6, 6, 60)).toEqual({ grad_norm_ratio: 2 }); // median of 1 to 5
  for (let step = 7; step <= 10; step++) added(step, step, 10 * step);
  expect(added(11, 11, 110)).toEqual({ grad_norm_ratio: 2, completion_length_change: 2 }); // medians 5.5 and 55
  for (let step = 12; step <= 40; step++) added(step, 1, 1);
  expect(added(41, 3, 11)).toEqual({ grad_norm_ratio: 3, completion_length_change: 0.2 });
});

describe("accuracy of an epoch of the training set", () => {
  const steps = [
    { epoch: 0.4, completions: 8, correct_completions: 2 },
    { epoch: 0.8, completions: 8, correct_completions: 4 },
    { epoch: 1.2, completions: 4, correct_completions: 1 },
    { epoch: 1.6, completions: 8, correct_completions: 8 },
    { epoch: 2, completions: 8, correct_completions: 0 },
    { epoch: 2.4, completions: 8, correct_completions: 5 },
  ].map((metrics, i) => ({ step: i + 1, metrics }));
  const expected = [{}, {}, { epoch_accuracy: 7 / 20 }, {}, { epoch_accuracy: 8 / 16 }, {}];

  test("all completions of the steps up to the one that completes it", () => {
    const monitor = healthMonitor(config());
    expect(steps.map((step) => monitor.observe(step).metrics)).toEqual(expected);
  });

  test("is the same after a resume at any step", () => {
    for (let at = 1; at < steps.length; at++) {
      const resumed = healthMonitor(config(), JSON.parse(JSON.stringify(steps.slice(0, at))) as typeof steps);
      expect(steps.slice(at).map((step) => resumed.observe(step).metrics)).toEqual(expected.slice(at));
    }
  });

  test("needs a training set of known size and a reward for accuracy", () => {
    const monitor = healthMonitor(config());
    expect(monitor.observe({ step: 1, metrics: { completions: 8, correct_completions: 1 } }).metrics).toEqual({});
    expect(monitor.observe({ step: 2, metrics: { epoch: 3, completions: 8 } }).metrics).toEqual({});
  });
});

test("steps without a gradient do not make the next one a spike", () => {
  const monitor = healthMonitor(config());
  for (let step = 1; step <= 30; step++) monitor.observe({ step, metrics: { grad_norm: 0 } });
  expect(monitor.observe({ step: 31, metrics: { grad_norm: 1 } })).toEqual({ metrics: {}, alarms: [] });
});

describe("every alarm", () => {
  const page = readFileSync("docs/health.md", "utf8");
  test.each(Object.entries(alarms))("%s: its metric is defined, and docs/health.md has its default", (name, kind) => {
    expect(() => metric(kind.metric)).not.toThrow();
    const { limit, steps } = config().alarms[name as keyof typeof alarms];
    expect(page).toContain(`| \`${name}\` | \`${kind.metric}\` ${kind.wrong} ${limit}`);
    expect(page).toMatch(new RegExp(`\\| \`${name}\` \\| [^|]* \\| ${steps} \\|`));
  });
});
