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
