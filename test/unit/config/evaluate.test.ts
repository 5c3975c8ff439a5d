import { expect, test } from "vitest";
import { protocols } from "../../../src/config/protocols.js";
import { evaluateSchema } from "../../../src/config/sections.js";

test("the paper's protocol by name", () => {
  expect(evaluateSchema.parse({ settings: "paper" }).settings).toEqual(protocols["paper"]);
  expect(evaluateSchema.parse({}).settings.map(({ name }) => name)).toEqual(["greedy"]);
});

test.each([
  ["an unknown protocol", { settings: "papr" }, /papr.* is no protocol; there is: paper/],
  ["both intervals", { every_steps: 2, every_epochs: 1 }, /every_steps or every_epochs, not both/],
  ["no passes", { every_epochs: 0 }, /every_epochs/],
  ["a name twice", { settings: [{ name: "a" }, { name: "a" }] }, /same name/],
])("%s is refused", (_, config, message) => {
  expect(() => evaluateSchema.parse(config)).toThrow(message);
});
