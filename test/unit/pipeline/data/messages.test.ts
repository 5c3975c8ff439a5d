import { expect, test } from "vitest";
import { promptMessages } from "../../../../src/pipeline/data/messages.js";

const image = { type: "image" };
const text = (value: string) => ({ type: "text", text: value });

test.each([
  ["no image", "Why?", 0, [text("Why?")]],
  ["images come first", "Why?", 2, [image, image, text("Why?")]],
  ["a marker takes the image's place", "See <image> now", 1, [text("See "), image, text(" now")]],
  ["markers at both ends", "<image>vs<image>", 2, [image, text("vs"), image]],
  ["only a marker", "<image>", 1, [image]],
  ["line breaks stay", "<image>\nWhy?", 1, [image, text("\nWhy?")]],
])("%s", (_, question, num_images, content) => {
  expect(promptMessages({ question, num_images })).toEqual([{ role: "user", content }]);
});

test("a system prompt is a message of its own", () => {
  expect(promptMessages({ question: "Why?", num_images: 0 }, "Be brief.")).toEqual([
    { role: "system", content: [text("Be brief.")] },
    { role: "user", content: [text("Why?")] },
  ]);
});

test.each([
  ["<image> and <image>", 1, "has 2 <image> markers, but the sample has 1 images"],
  ["<image>", 0, "has 1 <image> markers, but the sample has 0 images"],
])("%s with %i images is refused", (question, num_images, message) => {
  expect(() => promptMessages({ question, num_images })).toThrow(message);
});

test("images lie where their markers are, through history and question; without markers, at the very start", () => {
  const turns = (first: string, question: string) => ({
    question,
    history: [
      { role: "user" as const, content: first },
      { role: "assistant" as const, content: "A cat." },
    ],
  });
  const contents = (sample: ReturnType<typeof turns>, num_images: number) =>
    promptMessages({ ...sample, num_images }).map(({ role, content }) => [role, ...content.map((part) => part.type)]);
  expect(contents(turns("<image>What?", "And <image>?"), 2)).toEqual([
    ["user", "image", "text"],
    ["assistant", "text"],
    ["user", "text", "image", "text"],
  ]);
  expect(contents(turns("What?", "And now?"), 2)).toEqual([
    ["user", "image", "image", "text"],
    ["assistant", "text"],
    ["user", "text"],
  ]);
  expect(() => contents(turns("<image>What?", "And now?"), 2)).toThrow("has 1 <image> markers");
});

test("a row's system prompt stands before the run's", () => {
  const sample = { question: "Why?", num_images: 0, system_prompt: "Of the row." };
  expect(promptMessages(sample, "Of the run.")[0]!.content).toEqual([{ type: "text", text: "Of the row." }]);
});
