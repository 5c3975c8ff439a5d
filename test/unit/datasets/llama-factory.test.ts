import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RowProblem } from "../../../src/datasets/reading/bad-row.js";
import { rowsOfList } from "../../../src/datasets/reading/json-rows.js";
import { datasetSchema, openDataset } from "../../../src/datasets/registry.js";
import { promptMessages } from "../../../src/pipeline/data/messages.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sightloop-llama-factory-"));
  await mkdir(join(folder, "mllm_demo_data"));
  for (const name of ["1.jpg", "2.jpg"]) await writeFile(join(folder, "mllm_demo_data", name), "pixels");
});
afterAll(() => rm(folder, { recursive: true }));

let count = 0;
async function open(content: unknown, params: Record<string, unknown> = {}) {
  const path = `rows-${(count += 1)}.json`;
  await writeFile(join(folder, path), typeof content === "string" ? content : JSON.stringify(content, null, 2));
  return openDataset(datasetSchema.parse({ name: "llama_factory", path, ...params }), { base_folder: folder });
}
const all = async (dataset: Awaited<ReturnType<typeof open>>) =>
  Promise.all(Array.from({ length: dataset.length }, (_, i) => dataset.get(i)));
const image = (n: number) => ({ path: join(folder, `mllm_demo_data/${n}.jpg`) });

/** The layout of LLaMA-Factory's data/mllm_demo.json. */
const demo = [
  {
    messages: [
      { role: "user", content: "<image>Who are they?" },
      { role: "assistant", content: "Two players." },
      { role: "user", content: "What are they doing?" },
      { role: "assistant", content: "They celebrate." },
    ],
    images: ["mllm_demo_data/1.jpg"],
  },
  {
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "<image><image>Which is older?" },
      { role: "assistant", content: "The second." },
    ],
    images: ["mllm_demo_data/1.jpg", "mllm_demo_data/2.jpg"],
  },
];
const demo_tags = {
  ...{ role_tag: "role", content_tag: "content", user_tag: "user", assistant_tag: "assistant" },
};
const sharegpt = { formatting: "sharegpt", columns: { messages: "messages" }, tags: demo_tags };

describe("sharegpt", () => {
  test("each answer is a sample, with what was said before", async () => {
    const rows = await all(await open(demo, sharegpt));
    expect(rows).toEqual([
      {
        id: "1.1",
        question: "<image>Who are they?",
        answer: "Two players.",
        solution: "Two players.",
        images: [image(1)],
      },
      {
        id: "1.2",
        question: "What are they doing?",
        history: [
          { role: "user", content: "<image>Who are they?" },
          { role: "assistant", content: "Two players." },
        ],
        ...{ answer: "They celebrate.", solution: "They celebrate.", images: [image(1)] },
      },
      {
        id: "2",
        question: "<image><image>Which is older?",
        system_prompt: "Be brief.",
        ...{ answer: "The second.", solution: "The second.", images: [image(1), image(2)] },
      },
    ]);
    const { images, ...second } = rows[1]!;
    expect(promptMessages({ ...second, num_images: images.length })).toEqual([
      { role: "user", content: [{ type: "image" }, { type: "text", text: "Who are they?" }] },
      { role: "assistant", content: [{ type: "text", text: "Two players." }] },
      { role: "user", content: [{ type: "text", text: "What are they doing?" }] },
    ]);
    expect(promptMessages({ ...rows[2]!, num_images: 2 }, "The run's own.")[0]).toEqual({
      role: "system",
      content: [{ type: "text", text: "Be brief." }],
    });
  });

  test("only the last answer, if wanted", async () => {
    expect((await all(await open(demo, { ...sharegpt, turns: "last" }))).map(({ id }) => id)).toEqual(["1.2", "2"]);
  });

  test("the default names; images of later turns are not yet there; JSON Lines", async () => {
    const turn = (from: string, value: string) => ({ from, value });
    const conversations = [turn("human", "<image>A?"), turn("gpt", "a"), turn("human", "<image>B?"), turn("gpt", "b")];
    const row = { conversations, images: ["mllm_demo_data/1.jpg", "mllm_demo_data/2.jpg"], system: "S" };
    const [first, second] = await all(await open(`\n${JSON.stringify(row)}\n`, { formatting: "sharegpt" }));
    expect(first).toMatchObject({ images: [image(1)], system_prompt: "S" });
    expect(second!.images).toEqual([image(1), image(2)]);
  });
});

test("alpaca: instruction, input, history, system; images without markers come first", async () => {
  const rows = [
    { instruction: "Describe.", input: "Shortly.", output: "A cat.", system: "S", images: ["mllm_demo_data/1.jpg"] },
    { instruction: "And then?", input: "", output: "It sleeps.", history: [["Hello", "Hi"]] },
  ];
  const [first, second] = await all(await open(rows));
  expect(first).toEqual({
    ...{ id: "1", question: "Describe.\nShortly.", answer: "A cat.", solution: "A cat.", system_prompt: "S" },
    images: [image(1)],
  });
  expect(promptMessages({ ...first!, num_images: 1 }).at(-1)!.content[0]).toEqual({ type: "image" });
  expect((await all(await open(rows, { turns: "last" })))[1]).toMatchObject({
    question: "And then?",
    history: [
      { role: "user", content: "Hello" },
      { role: "assistant", content: "Hi" },
    ],
  });
  expect(second).toMatchObject({ id: "2.1", question: "Hello", answer: "Hi" });
});

describe("dataset_info.json", () => {
  const open_entry = (dataset: string, params: Record<string, unknown> = {}) =>
    openDataset(datasetSchema.parse({ name: "llama_factory", path: ".", dataset, ...params }), { base_folder: folder });
  beforeAll(async () => {
    await writeFile(join(folder, "mllm_demo.json"), JSON.stringify(demo));
    const info = {
      mllm_demo: {
        file_name: "mllm_demo.json",
        formatting: "sharegpt",
        columns: { messages: "messages", images: "images" },
        tags: demo_tags,
      },
      remote: { hf_hub_url: "org/name" },
      ranked: { file_name: "mllm_demo.json", ranking: true },
      strange: { file_name: "mllm_demo.json", tags: { speaker: "x" } },
    };
    await writeFile(join(folder, "dataset_info.json"), JSON.stringify(info));
  });

  test("says it all", async () => {
    expect((await all(await open_entry("mllm_demo"))).map(({ id }) => id)).toEqual(["1.1", "1.2", "2"]);
  });

  test.each([
    ["none", {}, 'has no dataset "none"; it has mllm_demo, remote'],
    ["remote", {}, "names no file_name"],
    ["ranked", {}, "preference data"],
    ["strange", {}, "speaker"],
    ["mllm_demo", { formatting: "alpaca" }, "formatting is said by"],
  ])("%s %j is an error", async (dataset, params, message) => {
    await expect(open_entry(dataset, params)).rejects.toThrow(message);
  });
});

describe("bad rows are named by file and line", () => {
  const turns = (...roles: string[]) => ({ conversations: roles.map((from) => ({ from, value: "x" })) });
  test.each<[string, { readonly formatting?: string }, unknown, string]>([
    ["no response", {}, { instruction: "a" }, '"output" is missing'],
    ["an input of another type", {}, { instruction: "a", input: 3, output: "b" }, '"input" is 3'],
    ["a history that is no pair", {}, { instruction: "a", output: "b", history: [["x"]] }, "expected pairs"],
    ["a video", {}, { instruction: "a", output: "b", videos: ["a.mp4"] }, "only text and images"],
    ["a missing image", {}, { instruction: "a", output: "b", images: ["none.jpg"] }, "none.jpg does not exist"],
    [
      "more markers than images",
      {},
      { instruction: "<image><image>", output: "b", images: ["mllm_demo_data/1.jpg"] },
      "2 <image> markers, but 1 images",
    ],
    ["no conversation", { formatting: "sharegpt" }, { messages: [] }, '"conversations" is missing'],
    ["a question without answer", { formatting: "sharegpt" }, turns("human", "gpt", "human"), "3 turns"],
    ["two of a kind", { formatting: "sharegpt" }, turns("human", "human"), 'turn 2 is of role "human"; expected "gpt"'],
    ["a tool call", { formatting: "sharegpt" }, turns("human", "function_call"), "tool calls are not supported"],
    ["no object", {}, 7, "expected an object, got 7"],
  ])("%s", async (_, params, row, message) => {
    const good = params.formatting === "sharegpt" ? turns("human", "gpt") : { instruction: "a", output: "b" };
    const lines = `[\n${JSON.stringify(good)},\n\n${JSON.stringify(row)}\n]`;
    const error = await open(lines, params).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "DATASET_INVALID", message: expect.stringMatching(/\.json:4: /) as string });
    expect((error as Error).message).toContain(message);
  });

  test("or heard of one by one, the good rows being kept", async () => {
    const path = "some-bad.json";
    await writeFile(
      join(folder, path),
      '[{"instruction": "a", "output": "b"},\n{"instruction": "a"},\n{"instruction": "c", "output": "d"\n',
    );
    const heard: RowProblem[] = [];
    const config = datasetSchema.parse({ name: "llama_factory", path });
    const dataset = await openDataset(config, { base_folder: folder, on_bad_row: (problem) => heard.push(problem) });
    expect(dataset.length).toBe(1);
    expect(dataset.place!(0)).toBe(`${join(folder, path)}:1`);
    expect(heard.map(({ place }) => place.replace(folder, ""))).toEqual(["/some-bad.json:2", "/some-bad.json:3"]);
    expect(heard[1]!.what).toContain("the list is not closed");
  });

  test("a file that is not there, empty, or not UTF-8", async () => {
    const missing = datasetSchema.parse({ name: "llama_factory", path: "none.json" });
    await expect(openDataset(missing, { base_folder: folder })).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    for (const content of ["", "[]", "\n"]) await expect(open(content)).rejects.toThrow("has no rows");
    await writeFile(join(folder, "latin.json"), Buffer.from('[{"instruction": "\xe9", "output": "b"}]', "latin1"));
    const latin = datasetSchema.parse({ name: "llama_factory", path: "latin.json" });
    await expect(openDataset(latin, { base_folder: folder })).rejects.toThrow(/latin\.json:1: not UTF-8/);
  });
});

test.each([
  ['[{"a": "x,]\\"}"}, {"b": [1, {"c": 2}]}]', [{ a: 'x,]"}' }, { b: [1, { c: 2 }] }]],
  ['\ufeff [ "x" , 3, null ] ', ["x", 3, null]],
  ["[]", []],
])("the elements of %s", (text, expected) => {
  const bytes = Buffer.from(text);
  expect([...rowsOfList(bytes)].map(({ parse }) => parse())).toEqual(expected);
});
