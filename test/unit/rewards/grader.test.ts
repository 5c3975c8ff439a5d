import { getEventListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { createGrader, type RewardSpec } from "../../../src/rewards/grader.js";
import type { RewardInput } from "../../../src/rewards/reward.js";

const input: RewardInput = {
  prompt: "How many?",
  completion: "<think>2 + 2</think> 4",
  answer: "4",
  finish_reason: "stop",
  token_count: 3,
  sample: { id: "row-7", question: "How many?", answer: "4", images: [] },
};
const grader = (specs: readonly RewardSpec[], timeout_ms = 5000) => createGrader(specs, { timeout_ms });

describe("grade", () => {
  test("is the weighted sum; the breakdown holds the parts before weights, in order", async () => {
    const { names, grade } = grader([
      { name: "accuracy", weight: 1 },
      { name: "think_format", weight: 0.5 },
      function brevity({ token_count }) {
        return -token_count;
      },
      { name: "judge", weight: 10, score: () => Promise.resolve(0.25) },
    ]);
    expect(names).toEqual(["accuracy", "think_format", "brevity", "judge"]);
    const { reward, breakdown } = await grade(input);
    expect(Object.entries(breakdown)).toEqual([
      ["accuracy", 1],
      ["think_format", 1],
      ["brevity", -3],
      ["judge", 0.25],
    ]);
    expect(reward).toBe(1 + 0.5 - 3 + 2.5);
  });

  test("gives a function without a name one", () => {
    expect(grader([() => 0, () => 0]).names).toEqual(["reward_1", "reward_2"]);
  });

  test("refuses two rewards of one name", () => {
    const accuracy = { name: "accuracy", weight: 1 } as const;
    expect(() => grader([accuracy, accuracy])).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });
});

describe("a failure names the reward, the sample and the way out", () => {
  test.each<[string, RewardSpec, RegExp]>([
    [
      "throws",
      {
        name: "mine",
        score: () => {
          throw new Error("no key");
        },
      },
      /threw Error: no key/,
    ],
    ["rejects", { name: "mine", score: () => Promise.reject(new TypeError("bad")) }, /threw TypeError: bad/],
    ["is not a number", { name: "mine", score: () => NaN }, /returned NaN/],
    ["is infinite", { name: "mine", score: async () => Infinity }, /returned Infinity/],
    ["is text", { name: "mine", score: () => "1" as never }, /returned 1/],
    ["is nothing", { name: "mine", score: () => undefined as never }, /returned undefined/],
    ["takes too long", { name: "mine", score: () => new Promise<number>(() => undefined) }, /took longer than 20 ms/],
  ])("%s", async (_, reward, what) => {
    const grading = grader([{ name: "accuracy", weight: 1 }, reward], 20).grade(input);
    await expect(grading).rejects.toMatchObject({
      name: "UserError",
      code: "REWARD_FAILED",
      message: expect.stringMatching(/^reward "mine" .* for sample "row-7"$/) as string,
      hint: expect.stringMatching(/.{20}/) as string,
    });
    await expect(grading).rejects.toThrow(what);
  });

  test("what was thrown is kept as the cause", async () => {
    const cause = new Error("no key");
    await expect(grader([() => Promise.reject(cause)]).grade(input)).rejects.toMatchObject({ cause });
  });

  test("and tells the other rewards to stop", async () => {
    let told: unknown;
    const slow: RewardSpec = async (_input, { signal }) => {
      signal.addEventListener("abort", () => void (told = signal.reason));
      return sleep(50, 0);
    };
    await expect(grader([slow, () => NaN]).grade(input)).rejects.toMatchObject({ code: "REWARD_FAILED" });
    expect(told).toMatchObject({ code: "REWARD_FAILED" });
  });
});

describe("cancelling", () => {
  test("rejects with the signal's reason, and reaches the reward", async () => {
    const controller = new AbortController();
    const reason = new Error("Ctrl-C");
    let seen: unknown;
    const slow: RewardSpec = (_input, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          seen = signal.reason;
          reject(new Error("stopped"));
        });
      });
    const grading = grader([slow]).grade(input, controller.signal);
    controller.abort(reason);
    await expect(grading).rejects.toBe(reason);
    expect(seen).toBe(reason);
  });

  test("before the start runs nothing", async () => {
    let runs = 0;
    const grading = grader([() => (runs += 1)]).grade(input, AbortSignal.abort(new Error("late")));
    await expect(grading).rejects.toThrow("late");
    expect(runs).toBe(0);
  });

  test("leaves no listener and no timer behind", async () => {
    const controller = new AbortController();
    const { grade } = grader([{ name: "accuracy", weight: 1 }, async () => 1], 60_000);
    for (let i = 0; i < 100; i++) await grade(input, controller.signal);
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(0);
    expect(process.getActiveResourcesInfo().filter((name) => name === "Timeout").length).toBeLessThan(10);
  });
});

test("many completions graded at once warn of no leak", async () => {
  const warnings: Error[] = [];
  const listen = (warning: Error) => void warnings.push(warning);
  process.on("warning", listen);
  const { signal } = new AbortController();
  const { grade } = grader([
    async function slow() {
      await sleep(5);
      return 1;
    },
  ]);
  await Promise.all(Array.from({ length: 40 }, () => grade(input, signal)));
  await sleep(5); // warnings come on the next turn
  process.off("warning", listen);
  expect(warnings).toEqual([]);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});
