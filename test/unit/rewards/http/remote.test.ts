import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { retryAfter } from "../../../../src/rewards/http/client.js";
import { openGrader } from "../../../../src/rewards/grader.js";
import { rewardSchema } from "../../../../src/rewards/registry.js";
import type { RewardInput } from "../../../../src/rewards/reward.js";
import { json, loopbackServer } from "../../../helpers/http-server.js";

const server = loopbackServer();
const png = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 1);
const input = (completion = "four"): RewardInput => ({
  ...{ prompt: "How many?", completion, answer: "4", finish_reason: "stop", token_count: 3, max_completion_tokens: 8 },
  sample: { id: "row-7", question: "How many?", answer: "4", images: [{ bytes: png }] },
});
const quick = { max_retries: 2, retry_delay_ms: 5, on_error: "zero" };

async function open(params: object = {}, env: Record<string, string> = {}) {
  const config = rewardSchema.parse({ name: "remote", url: `${server.url}/grade`, ...quick, ...params });
  return openGrader([config], { timeout_ms: 10, env });
}
const outcome = async (params: object = {}, env: Record<string, string> = {}) => {
  const { reward, outcomes } = await (await open(params, env)).grade(input());
  return { reward, ...outcomes["remote"] };
};

describe("remote", () => {
  test("posts the completion and takes the number", async () => {
    server.answer = (response, { body }) =>
      json(response, { reward: (JSON.parse(body) as RewardInput).completion.length });
    expect(await outcome({ params: { strict: true }, weight: 0.5 })).toMatchObject({ reward: 2, status: "ok" });
    const [{ method, path, headers, body }] = server.received as [(typeof server.received)[0]];
    expect({ method, path, type: headers["content-type"] }).toEqual({
      method: "POST",
      path: "/grade",
      type: "application/json",
    });
    expect(headers.authorization).toBeUndefined();
    expect(JSON.parse(body)).toEqual({
      ...{
        prompt: "How many?",
        completion: "four",
        answer: "4",
        finish_reason: "stop",
        token_count: 3,
        max_completion_tokens: 8,
      },
      sample: { id: "row-7", question: "How many?", solution: null },
      params: { strict: true },
    });
  });

  test("sends images when asked to", async () => {
    server.answer = (response) => json(response, { reward: 1 });
    await outcome({ send_images: true });
    const { sample } = JSON.parse(server.received[0]!.body) as { sample: { images: string[] } };
    expect(sample.images).toEqual([`data:image/png;base64,${Buffer.from(png).toString("base64")}`]);
  });

  test.each([429, 500, 502, 503, 504, 408])("tries again after status %i", async (status) => {
    server.answer = (response, _, n) => (n < 3 ? json(response, {}, status) : json(response, { reward: 1 }));
    expect(await outcome()).toMatchObject({ status: "ok", reward: 1 });
    expect(server.received).toHaveLength(3);
  });

  test("gives up after max_retries, with what the server said", async () => {
    server.answer = (response) => void response.writeHead(500).end("out of luck");
    expect(await outcome()).toMatchObject({
      status: "error",
      message: expect.stringMatching(/status 500: "out of luck" \(tried 3 times\)/) as string,
    });
    expect(server.received).toHaveLength(3);
  });

  test.each([
    ["another status", (response) => json(response, { error: "no" }, 400), /status 400: /],
    ["a redirect", (response) => void response.writeHead(302, { location: "/" }).end(), /status 302/],
    ["no JSON", (response) => void response.end("<html>"), /not JSON: "<html>"/],
    ["half of its JSON", (response) => void response.end('{"reward": 1'), /not JSON/],
    ["no number", (response) => json(response, { reward: "1" }), /got "\{\\"reward\\":\\"1\\"\}"/],
    ["another shape", (response) => json(response, [1]), /got "\[1\]"/],
    [
      "too much",
      (response) => void response.end(JSON.stringify({ reward: 1, more: "x".repeat(2000) })),
      /more than 1000 bytes/,
    ],
  ] as [string, typeof server.answer, RegExp][])("%s is an error at once", async (_, answer, message) => {
    server.answer = answer;
    expect(await outcome({ max_response_bytes: 1000 })).toMatchObject({
      status: "error",
      reward: 0,
      message: expect.stringMatching(message) as string,
    });
    expect(server.received).toHaveLength(1);
  });

  test("a server that never answers is a timeout, one that hangs up or is not there an error", async () => {
    server.answer = () => undefined;
    expect(await outcome({ timeout_ms: 30, max_retries: 1 })).toMatchObject({
      status: "timeout",
      message: expect.stringMatching(/within 30 ms \(tried 2 times\)/) as string,
    });
    server.answer = async (response) => {
      response.writeHead(200).write('{"rew');
      await sleep(20); // the body is cut off or never ends
    };
    expect(await outcome({ timeout_ms: 30, max_retries: 0 })).toMatchObject({ status: "timeout" });
    server.answer = (response) => void response.destroy();
    expect(await outcome()).toMatchObject({
      status: "error",
      message: expect.stringMatching(/cannot be reached/) as string,
    });
    expect(await outcome({ url: "http://127.0.0.1:1/", max_retries: 0 })).toMatchObject({
      status: "error",
      message: expect.stringMatching(/127\.0\.0\.1:1 cannot be reached: (ECONNREFUSED|bad port)/) as string,
    });
  });

  test("sends no more than max_concurrent requests at once, and loses none", async () => {
    server.answer = async (response, { body }) => {
      await sleep(5);
      json(response, { reward: Number((JSON.parse(body) as RewardInput).completion) });
    };
    const { grade } = await open({ max_concurrent: 3 });
    const rewards = await Promise.all(
      Array.from({ length: 30 }, async (_, i) => (await grade(input(String(i)))).reward),
    );
    expect(rewards).toEqual(Array.from({ length: 30 }, (_, i) => i));
    expect(server.most_busy).toBe(3);
  });

  test("Retry-After holds up every request", async () => {
    let refused_at = Infinity;
    server.answer = (response, _, n) => {
      if (n > 1) return json(response, { reward: performance.now() - refused_at });
      refused_at = performance.now();
      json(response, {}, 429, { "retry-after": "0.2" });
    };
    const { grade } = await open({ max_concurrent: 1, retry_delay_ms: 1 });
    const waits = await Promise.all([grade(input()), grade(input())]);
    for (const { reward } of waits) expect(reward).toBeGreaterThan(195);
  });

  test("cancelling ends a request, a pause and a place in the queue", async () => {
    server.answer = (response, _, n) => (n === 1 ? json(response, {}, 500) : undefined);
    const { grade } = await open({ max_concurrent: 1, retry_delay_ms: 60_000 });
    const controller = new AbortController();
    const all = [
      grade(input(), controller.signal),
      grade(input(), controller.signal),
      grade(input(), controller.signal),
    ];
    setTimeout(() => controller.abort(new Error("Ctrl-C")), 30);
    for (const one of all) await expect(one).rejects.toThrow("Ctrl-C");
  });

  test("the key comes from the environment, and is in no message", async () => {
    server.answer = (response, { headers }) => void response.writeHead(401).end(`wrong: ${headers.authorization}`);
    const refused = await outcome({ api_key_env: "GRADER_KEY" }, { GRADER_KEY: "s3cret" });
    expect(server.received[0]!.headers.authorization).toBe("Bearer s3cret");
    expect(refused).toMatchObject({ status: "error", message: expect.stringContaining("Bearer ***") as string });
    expect(JSON.stringify(refused)).not.toContain("s3cret");
    await expect(open({ api_key_env: "GRADER_KEY" })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("GRADER_KEY") as string,
    });
  });

  test.each(["ftp://host/", "host", "http://user:word@host/", "file:///etc/passwd"])("%s is no url", (url) => {
    expect(rewardSchema.safeParse({ name: "remote", url }).success).toBe(false);
  });
});

test.each([
  [null, undefined],
  ["", undefined],
  ["soon", undefined],
  ["0", 0],
  ["1.5", 1500],
  ["3600", 60_000],
  [new Date(5000).toUTCString(), 4000],
  [new Date(0).toUTCString(), 0],
])("Retry-After: %s", (header, expected) => {
  expect(retryAfter(header, 1000)).toBe(expected);
});
