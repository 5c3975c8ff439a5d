import { describe, expect, test } from "vitest";
import { findReflection, reflection_words, type ReflectionCounting } from "../../../src/reports/reflection.js";

test("the paper's 15 words", () => {
  expect(reflection_words).toHaveLength(15);
  expect(new Set(reflection_words).size).toBe(15);
});

function countReflection(text: string, counting: ReflectionCounting): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { word } of findReflection(text, counting)) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}

describe("counting", () => {
  test.each([
    ["nothing of the kind", "The answer is 4.", {}, {}],
    ["upper and lower case", "WAIT. Wait, wait!", { wait: 3 }, { wait: 3 }],
    ["inside other words only", "awaiting the yeti, verifying", { wait: 1, yet: 1, verify: 1 }, {}],
    [
      "a phrase",
      "Let me check again and try again.",
      { "check again": 1, "try again": 1 },
      { "check again": 1, "try again": 1 },
    ],
    ["a phrase over a line break", "check\nagain", {}, { "check again": 1 }],
    ["with and without hyphen", "re-check, recheck", { "re-check": 1, recheck: 1 }, { "re-check": 1, recheck: 1 }],
    ["the longer form is another word", "reevaluation", { reevaluation: 1 }, { reevaluation: 1 }],
    ["next to punctuation and underscore", "(wait) wait_for", { wait: 2 }, { wait: 1 }],
    [
      "one word inside another",
      "re-check again",
      { "re-check": 1, "check again": 1 },
      { "re-check": 1, "check again": 1 },
    ],
    ["letters of two code units bound a word", "\u{1D400}wait wait\u{1D400}, \u{1F914}wait", { wait: 3 }, { wait: 1 }],
    ["letters beyond ASCII bound a word", "éwait waité", { wait: 2 }, {}],
  ])("%s", (_, text, substring, word) => {
    expect(countReflection(text, "substring")).toEqual(substring);
    expect(countReflection(text, "word")).toEqual(word);
  });

  test("hits are the places in the text, in its order", () => {
    const text = "İt is 5. Wait: try  again, yet";
    const hits = findReflection(text, "word");
    expect(hits.map(({ word }) => word)).toEqual(["wait", "try again", "yet"]);
    expect(hits.map(({ start, end }) => text.slice(start, end))).toEqual(["Wait", "try  again", "yet"]);
  });

  test("each of the words is found alone, by both countings", () => {
    for (const word of reflection_words) {
      expect(countReflection(`so, ${word}.`, "word")).toEqual({ [word]: 1 });
      expect(countReflection(`so, ${word}.`, "substring")).toEqual({ [word]: 1 });
    }
  });
});
