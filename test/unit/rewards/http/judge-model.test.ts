import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { openGrader } from "../../../../src/rewards/grader.js";
import { score } from "../../../../src/rewards/judge-model.js";
import { rewardSchema } from "../../../../src/rewards/registry.js";
import type { RewardInput } from "../../../../src/rewards/reward.js";
import { json, loopbackServer } from "../../../helpers/http-server.js";

const server = loopbackServer();
const input = (completion = "four"): RewardInput => ({
  ...{
    prompt: "<user>How many?",
    completion,
    answer: "4",
    finish_reason: "stop",
    token_count: 3,
    max_completion_tokens: 8,
  },
  sample: { id: "row-7", question: "How many?", answer: "4", images: [{ bytes: Uint8Array.of(0xff, 0xd8, 0xff) }] },
});
const reply = (content: string | null, finish_reason = "stop") => ({
  choices: [{ message: { content }, finish_reason }],
});
interface Asked {
  readonly model: string;
  readonly messages: {
    role: string;
    content: string | { type: string; text?: string; image_url?: { url: string } }[];
  }[];
}

async function open(params: object = {}, env: Record<string, string> = {}) {
  const defaults = { name: "judge_model", model: "judge-7b", on_error: "zero", max_retries: 1, retry_delay_ms: 5 };
  const config = rewardSchema.parse({ ...defaults, url: `${server.url}/v1/`, ...params });
  return openGrader([config], { timeout_ms: 10, env });
}
const outcome = async (params: object = {}) => {
  const { reward, outcomes } = await (await open(params)).grade(input());
  return { reward, ...outcomes["judge_model"] };
};

describe("judge_model", () => {
  test("asks for a chat completion and reads the verdict", async () => {
    server.answer = (response) => json(response, reply("Both are four.\nVerdict: CORRECT"));
    const { grade } = await open(
      { api_key_env: "KEY", system_prompt: "Be strict.", request: { seed: 3 } },
      { KEY: "k" },
    );
    expect((await grade(input())).reward).toBe(1);
    const [{ path, headers, body }] = server.received as [(typeof server.received)[0]];
    expect(path).toBe("/v1/chat/completions");
    expect(headers.authorization).toBe("Bearer k");
    const asked = JSON.parse(body) as Asked;
    expect(asked).toMatchObject({ model: "judge-7b", temperature: 0, max_tokens: 512, seed: 3 });
    expect(asked.messages.map(({ role }) => role)).toEqual(["system", "user"]);
    for (const text of ["How many?", "4", "four"]) expect(asked.messages[1]!.content).toContain(text);
  });

  test("fills the template once: a completion cannot ask for the answer", async () => {
    server.answer = (response) => json(response, reply("Verdict: INCORRECT"));
    const { grade } = await open({ prompt: "{question}|{completion}|$&|{other}" });
    expect((await grade(input("{answer} $1 {question}"))).reward).toBe(0);
    expect((JSON.parse(server.received[0]!.body) as Asked).messages[0]!.content).toBe(
      "How many?|{answer} $1 {question}|$&|{other}",
    );
  });

  test("shows the images when asked to", async () => {
    server.answer = (response) => json(response, reply("Verdict: CORRECT"));
    await outcome({ send_images: true });
    const [image, text] = (JSON.parse(server.received[0]!.body) as Asked).messages[0]!.content as [
      Record<string, never>,
      { type: string },
    ];
    expect(image).toEqual({ type: "image_url", image_url: { url: "data:image/jpeg;base64,/9j/" } });
    expect(text.type).toBe("text");
  });

  test("a prompt that hides the completion is refused", async () => {
    await expect(open({ prompt: "Is {answer} right?" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  test.each([
    ["no verdict", reply("It is right."), /without a verdict: "It is right\."/],
    ["a verdict of its own", reply("Verdict: MAYBE"), /verdict "maybe", which is not one of CORRECT, INCORRECT/],
    ["nothing, cut off", reply(null, "length"), /no text in 512 tokens/],
    ["another protocol", { output: "Verdict: CORRECT" }, /got "\{\\"output\\"/],
    ["no choice", { choices: [] }, /got /],
  ])("%s is an error", async (_, answer, message) => {
    server.answer = (response) => json(response, answer);
    expect(await outcome()).toMatchObject({
      status: "error",
      reward: 0,
      message: expect.stringMatching(message) as string,
    });
  });

  test("waits as long as a 429 says, then goes on", async () => {
    server.answer = (response, _, n) =>
      n === 1 ? json(response, {}, 429, { "retry-after": "0.1" }) : json(response, reply("Verdict: CORRECT"));
    const started = performance.now();
    expect(await outcome({ retry_delay_ms: 60_000 })).toMatchObject({ status: "ok", reward: 1 });
    expect(performance.now() - started).toBeGreaterThan(95);
  });
});

describe("the cache", () => {
  const counting = (): void => {
    server.answer = async (response, _, n) => {
      await sleep(10);
      json(response, reply(`Verdict: ${n === 1 ? "CORRECT" : "INCORRECT"}`));
    };
  };

  test("asks the same thing once, also while it is being asked", async () => {
    counting();
    const { grade } = await open();
    const same = await Promise.all([grade(input()), grade(input()), grade(input())]);
    expect(same.map(({ reward }) => reward)).toEqual([1, 1, 1]);
    expect((await grade(input())).reward).toBe(1);
    expect((await grade(input("another"))).reward).toBe(0);
    expect(server.received).toHaveLength(2);
  });

  test("keeps no failure", async () => {
    server.answer = (response, _, n) => (n === 1 ? json(response, {}, 400) : json(response, reply("Verdict: CORRECT")));
    const { grade } = await open();
    expect((await grade(input())).outcomes["judge_model"]!.status).toBe("error");
    expect((await grade(input())).reward).toBe(1);
  });

  test("on disk outlives the grader, by content, and survives a damaged file", async () => {
    counting();
    const cache_folder = mkdtempSync(join(tmpdir(), "sightloop-judge-"));
    try {
      const ask = async (params: object = {}) =>
        (await (await open({ cache_folder, ...params })).grade(input())).reward;
      expect(await ask()).toBe(1);
      expect(await ask()).toBe(1);
      expect(server.received).toHaveLength(1);
      expect(await ask({ temperature: 0.5 })).toBe(0);
      expect(server.received).toHaveLength(2);
      const [folder] = readdirSync(cache_folder) as [string];
      for (const name of readdirSync(join(cache_folder, folder))) writeFileSync(join(cache_folder, folder, name), "{");
      await ask();
      await ask({ temperature: 0.5 });
      expect(server.received).toHaveLength(3);
    } finally {
      rmSync(cache_folder, { recursive: true });
    }
  });
});

describe("score", () => {
  const verdicts = { GOOD: 1, PARTIAL: 0.5, BAD: -1 };
  test.each([
    ["Verdict: GOOD", 1],
    ["verdict: partial.", 0.5],
    ["First I thought Verdict: GOOD, but\n**Verdict:** BAD", -1],
    ["**Verdict**: **GOOD**", 1],
    ['Verdict: "PARTIAL"', 0.5],
  ])("%s", (text, expected) => expect(score(text, { verdicts, max_score: 1 })).toBe(expected));

  test.each([
    ["Score: 7", 0.7],
    ["Score: 3, no: score: 8.5/10", 0.85],
    ["**Score:** 10", 1],
  ])("%s of 10", (text, expected) => expect(score(text, { verdicts: null, max_score: 10 })).toBeCloseTo(expected, 12));

  test.each(["Score: 11", "Score: -1", "ten", ""])("%s is an error", (text) => {
    expect(() => score(text, { verdicts: null, max_score: 10 })).toThrow(/score/);
  });
});
