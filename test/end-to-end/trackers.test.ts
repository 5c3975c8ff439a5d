import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { readMetrics } from "../../src/reports/metrics-file.js";
import { smallConfig, trainHere, workspace } from "./support.js";

const place = workspace();

/** metrics.csv as objects, empty cells left out. */
function rows(file: string): Record<string, number>[] {
  const [header = "", ...lines] = readFileSync(file, "utf8").trim().split("\n");
  const columns = header.split(",");
  return lines.map((line) =>
    Object.fromEntries(line.split(",").flatMap((cell, i) => (cell === "" ? [] : [[columns[i]!, Number(cell)]]))),
  );
}

test("a run that was stopped and resumed has every step in metrics.csv once, with the numbers of metrics.jsonl", async () => {
  const folder = place.path("tracked");
  const trackers = [{ name: "csv" }, { name: "tensorboard" }];
  const changes = { trackers, checkpoint: { every_steps: 1 } };
  const controller = new AbortController();
  const first = await trainHere(smallConfig(place.model, folder, changes), {
    signal: controller.signal,
    onEvent: (event) => (event.type === "progress" && event.step === 3 ? controller.abort() : undefined),
  });
  expect(first.error).toMatchObject({ code: "INTERRUPTED" });
  expect(rows(`${folder}/csv/metrics.csv`).map(({ step }) => step)).toEqual([1, 2]);
  // a tracker less: what a resumed run tells may change
  const second = await trainHere(smallConfig(place.model, folder, { ...changes, trackers: trackers.slice(0, 1) }), {
    resume: true,
  });
  expect(second.error).toBeUndefined();
  const lines = (await readMetrics(`${folder}/metrics.jsonl`)).filter(({ type }) => type === "step");
  expect(rows(`${folder}/csv/metrics.csv`)).toEqual(lines.map(({ type: _, ...metrics }) => metrics));
  expect(readFileSync(`${folder}/csv/evaluations.csv`, "utf8").trim().split("\n")).toHaveLength(
    1 + (await readMetrics(`${folder}/metrics.jsonl`)).filter(({ type }) => type === "evaluated").length,
  );
  expect(existsSync(`${folder}/tensorboard`)).toBe(true);
}, 120_000);
