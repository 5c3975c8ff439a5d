import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import polars from "nodejs-polars";
import { afterAll, expect, test } from "vitest";
import type { EvaluationSample } from "../../../src/evaluate/result.js";
import { sampleBatch } from "../../../src/evaluate/sample-batch.js";
import { removeEvaluationsAfter, writeEvaluation } from "../../../src/reports/evaluation-files.js";

const folder = mkdtempSync(join(tmpdir(), "evaluations-"));
afterAll(() => rmSync(folder, { recursive: true }));

const sample = (sample_index: number, final_answer: string | null): EvaluationSample => ({
  ...{
    item: 3,
    item_id: "geo-3",
    setting: "t1.0",
    control: "none",
    sample_index,
    completion: "so 4 \u00b0",
    answer: "4",
  },
  reward_breakdown: { accuracy: Number(final_answer === "4"), language: -0.25 },
  ...{ final_answer, correct: final_answer === "4", completion_length: 5, finish_reason: "stop", logprob_sum: -2.5 },
});

test("rows are read by another implementation of Arrow; a resume removes what comes after its checkpoint", async () => {
  const batch = sampleBatch([sample(0, "4"), sample(1, null)], { dataset: "jsonl", split: "test" });
  for (const step of [2, 4, 6]) await writeEvaluation(folder, step, "test", batch);
  const frame = polars.readIPC(readFileSync(join(folder, "step-000002-test.arrow")));
  const columns = ["split", "item_id", "sample_index", "completion", "final_answer", "correct", "logprob_sum"];
  expect(frame.select(...columns).rows()).toEqual([
    ["test", "geo-3", 0, "so 4 \u00b0", "4", true, -2.5],
    ["test", "geo-3", 1, "so 4 \u00b0", "", false, -2.5],
  ]);
  expect(frame.getColumn("reward_breakdown").toArray()).toEqual([
    { accuracy: 1, language: -0.25 },
    { accuracy: 0, language: -0.25 },
  ]);
  expect(frame.getColumn("has_final_answer").toArray()).toEqual([true, false]);
  await removeEvaluationsAfter(folder, 4, false);
  expect(readdirSync(folder)).toEqual(["step-000002-test.arrow", "step-000004-test.arrow"]);
  await removeEvaluationsAfter(folder, 4, true);
  expect(readdirSync(folder)).toEqual(["step-000002-test.arrow"]);
  await removeEvaluationsAfter(join(folder, "none"), 0, true);
});

test.each(["out_pairs", "math-verse", "v2", "7"])(
  "a resume removes evaluations of the test set %s too",
  async (split) => {
    const batch = sampleBatch([sample(0, "4")], { dataset: "jsonl", split });
    const own = join(folder, split);
    for (const step of [2, 4, 1_000_000]) await writeEvaluation(own, step, split, batch);
    await removeEvaluationsAfter(own, 4, true);
    expect(readdirSync(own)).toEqual([`step-000002-${split}.arrow`]);
  },
);
