import { z } from "zod";
import { judge } from "./grading/judge.js";
import { defineReward } from "./reward.js";

/** 1 if the completion's final answer equals the truth, else 0. The rules: docs/judge.md. */
export const accuracy = defineReward({
  name: "accuracy",
  on_error: "zero", // a text that the judge cannot read in time is a wrong answer
  params: z.strictObject({
    /** Largest absolute difference of two numbers that still counts as equal; absent: they must be equal exactly. */
    tolerance: z.number().nonnegative().optional(),
  }),
  score: async ({ completion, answer }, { tolerance }) =>
    (await judge(completion, answer, { tolerance })).correct ? 1 : 0,
});
