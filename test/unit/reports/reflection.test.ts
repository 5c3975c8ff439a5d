import { describe, expect, test } from "vitest";
import { countReflection, findReflection, isReflective, reflection_words } from "../../../src/reports/reflection.js";

test("the paper's 15 words", () => {
  expect(reflection_words).toHaveLength(15);
  expect(new Set(reflection_words).size).toBe(15);
});

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
    ["letters beyond ASCII bound a word", "éwait waité", { wait: 2 }, {}],
  ])("%s", (_, text, substring, word) => {
    expect(countReflection(text, "substring")).toEqual(substring);
    expect(countReflection(text, "word")).toEqual(word);
    expect(isReflective(text, "substring")).toBe(Object.keys(substring).length > 0);
    expect(isReflective(text, "word")).toBe(Object.keys(word).length > 0);
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
