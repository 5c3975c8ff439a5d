import { getEventListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { type Grader, openGrader, type RewardSpec } from "../../../src/rewards/grader.js";
import { moduleRewardSchema, rewardSchema } from "../../../src/rewards/registry.js";
import type { RewardInput } from "../../../src/rewards/reward.js";

const input: RewardInput = {
  prompt: "How many?",
  completion: "<think>2 + 2</think> 4",
  answer: "4",
  finish_reason: "stop",
  token_count: 3,
  max_completion_tokens: 8,
  sample: { id: "row-7", question: "How many?", answer: "4", images: [] },
};
const opened: Grader[] = [];
afterEach(async () => {
  for (const grader of opened.splice(0)) await grader[Symbol.asyncDispose]();
});
async function grader(specs: readonly RewardSpec[], timeout_ms = 5000): Promise<Grader> {
  const made = await openGrader(specs, { timeout_ms });
  opened.push(made);
  return made;
}
const accuracy = { name: "accuracy", weight: 1, on_error: "zero" } as const;

describe("grade", () => {
  test("is the weighted sum; the breakdown holds the parts before weights, in order", async () => {
    const { names, grade } = await grader([
      accuracy,
      { name: "think_format", weight: 0.5, on_error: "fail" },
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

  test("gives a function without a name one", async () => {
    expect((await grader([() => 0, () => 0])).names).toEqual(["reward_1", "reward_2"]);
  });

  test("refuses two rewards of one name; a label tells them apart", async () => {
    await expect(grader([accuracy, accuracy])).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    expect((await grader([accuracy, { ...accuracy, label: "strict" }])).names).toEqual(["accuracy", "strict"]);
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
    ["is text", { name: "mine", score: () => "1" as never }, /returned "1"/],
    ["is nothing", { name: "mine", score: () => undefined as never }, /returned undefined/],
    ["takes too long", { name: "mine", score: () => new Promise<number>(() => undefined) }, /took longer than 20 ms/],
  ])("%s", async (_, reward, what) => {
    const grading = (await grader([accuracy, reward], 20)).grade(input);
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
    await expect((await grader([() => Promise.reject(cause)])).grade(input)).rejects.toMatchObject({ cause });
  });

  test("and tells the other rewards to stop", async () => {
    let told: unknown;
    const slow: RewardSpec = async (_input, { signal }) => {
      signal.addEventListener("abort", () => void (told = signal.reason));
      return sleep(50, 0);
    };
    await expect((await grader([slow, () => NaN])).grade(input)).rejects.toMatchObject({ code: "REWARD_FAILED" });
    expect(told).toMatchObject({ code: "REWARD_FAILED" });
  });
});

describe("on_error", () => {
  const failing = (on_error: "zero" | "mask") => ({ name: "mine", weight: 3, on_error, score: () => NaN });
  const late = { name: "late", on_error: "zero", score: () => new Promise<number>(() => undefined) } as const;

  test("zero: a failed reward counts 0, and is told apart from one that gave 0", async () => {
    // Only `late` waits for it; the worker that computes accuracy has this long on a busy machine.
    const { grade } = await grader([accuracy, failing("zero"), late], 2000);
    expect(await grade(input)).toMatchObject({
      reward: 1,
      breakdown: { accuracy: 1, mine: 0, late: 0 },
      masked: false,
      outcomes: {
        accuracy: { status: "ok" },
        mine: { status: "error", message: "returned NaN" },
        late: { status: "timeout", message: "took longer than 2000 ms" },
      },
    });
  });

  test("mask: the completion is marked, whatever the others say", async () => {
    expect(await (await grader([accuracy, failing("mask")])).grade(input)).toMatchObject({ masked: true, reward: 1 });
    expect(await (await grader([accuracy])).grade(input)).toMatchObject({ masked: false });
  });

  test("is fail for functions and modules unless said otherwise, zero for accuracy", () => {
    expect(moduleRewardSchema.parse({ module: "a.ts" }).on_error).toBe("fail");
    expect(rewardSchema.parse({ name: "accuracy" }).on_error).toBe("zero");
    expect(rewardSchema.parse({ name: "remote", url: "http://localhost" }).on_error).toBe("fail");
  });
});

describe("no_eos", () => {
  const cut = { ...input, finish_reason: "length" } as const;
  const no_eos = rewardSchema.parse({ name: "no_eos", weight: 2 });

  test("adds to the other rewards", async () => {
    const { grade } = await grader([accuracy, no_eos]);
    expect((await grade(input)).reward).toBe(1);
    expect((await grade(cut)).reward).toBeCloseTo(0.8, 12);
  });

  test("replaces them where it is asked to; the parts are still reported", async () => {
    const { grade } = await grader([accuracy, { ...no_eos, mode: "replace" } as RewardSpec]);
    expect((await grade(input)).reward).toBe(1);
    expect(await grade(cut)).toMatchObject({ reward: -0.2, breakdown: { accuracy: 1, no_eos: -0.1 } });
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
    const grading = (await grader([slow])).grade(input, controller.signal);
    controller.abort(reason);
    await expect(grading).rejects.toBe(reason);
    expect(seen).toBe(reason);
  });

  test("before the start runs nothing", async () => {
    let runs = 0;
    const grading = (await grader([() => (runs += 1)])).grade(input, AbortSignal.abort(new Error("late")));
    await expect(grading).rejects.toThrow("late");
    expect(runs).toBe(0);
  });

  test("leaves no listener and no timer behind", async () => {
    const controller = new AbortController();
    const { grade } = await grader([accuracy, async () => 1], 60_000);
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
  const { grade } = await grader([
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
