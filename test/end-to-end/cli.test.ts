import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { stringify } from "yaml";
import { beforeAll, describe, expect, test } from "vitest";
import { encodePng } from "../../src/datasets/fashion-grid/png.js";
import { sightloop, smallRun, start, startProgram, withoutProgress, workspace, writeRows } from "./support.js";

const place = workspace();
beforeAll(async () => {
  const data = await writeRows(place.folder);
  const evaluate = { ...smallRun.evaluate, max_items: 4 };
  const datasets = { train: data, validation: data };
  writeFileSync(place.path("run.yaml"), stringify({ ...smallRun, datasets, evaluate, model: { path: place.model } }));
  writeFileSync(place.path("image.png"), encodePng(new Uint8Array(56 * 56 * 3).fill(90), 56, 56));
});

const verbs = ["train", "sft", "evaluate", "generate", "init", "merge", "rewards", "bench", "doctor", "demo"];

describe("help", () => {
  test("comes at once and names every verb", async () => {
    const begun = performance.now();
    await startProgram(process.execPath, ["-e", "0"]).done;
    const started = performance.now();
    const { code, stdout } = await sightloop(["--help"]);
    const took = performance.now() - started;
    expect(code).toBe(0);
    for (const verb of verbs) expect(stdout).toContain(`sightloop ${verb}`);
    expect(stdout).toContain("Examples:");
    // 0.3 s on a quiet machine, six times what Node itself takes.
    expect(took).toBeLessThan(Math.max(3000, 15 * (started - begun)));
  });

  test.each(verbs)("%s --help has an example", async (verb) => {
    const { code, stdout } = await sightloop([verb, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain("Examples:");
  });

  test.each([
    [[], "no command given"],
    [["trian"], "Did you mean train?"],
    [["train", "--unknown", "1"], "Unknown argument: unknown"],
    [["generate", "--model", "m"], "Missing required argument: question"],
  ])("%j is a mistake of the command line", async (args, message) => {
    const { code, stderr } = await sightloop(args);
    expect(code).toBe(2);
    expect(stderr).toContain(`error: ${message}`);
    expect(stderr).toMatch(/hint: .*--help/);
    expect(stderr).not.toContain("    at ");
  });
});

test("init, sft, train, evaluate and generate, one after another", async () => {
  const model = place.path("made");
  const made = await sightloop(["init", "--preset", "fashion_grid_tiny", "--output", model, "--seed", "3", "--json"]);
  expect([made.code, withoutProgress(made.stderr)]).toEqual([0, ""]);
  expect(JSON.parse(made.stdout)).toMatchObject({ path: model, seed: 3 });

  writeFileSync(
    place.path("sft.yaml"),
    stringify({
      ...{
        steps: 2,
        prompts_per_step: 4,
        max_completion_tokens: 17,
        model: { path: model },
        evaluate: smallRun.evaluate,
      },
      datasets: { train: { name: "fashion_grid", pool: "labelled", count: 8 } },
      ...{ optimizer: { learning_rate: 1e-3 }, evaluate: {} },
    }),
  );
  const sft = await sightloop(["sft", "sft.yaml", "--run-folder", "sft", "--json"], place.folder);
  expect(sft.code, sft.stderr).toBe(0);
  const events = sft.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { type: string; model_path?: string });
  expect(events.filter(({ type }) => type === "step")).toHaveLength(2);
  const warm = events.at(-1)!.model_path!;

  const train = await sightloop(
    ["train", "run.yaml", "--set", `model.path=${warm}`, "--set", "steps=2", "--run-folder", "rl"],
    place.folder,
  );
  expect(train.code, train.stderr).toBe(0);
  expect(train.stdout).toMatch(/step 2\/2 .* time [\d.]+ s {2}ETA 0:00/);
  expect(train.stdout).toContain("done after 2 steps; the model is rl/checkpoints/step-000002/model");

  const evaluated = await sightloop(
    [
      ...[
        "evaluate",
        "--model",
        "rl/checkpoints/step-000002/model",
        "--dataset",
        "{name: fashion_grid, split: test, count: 4}",
      ],
      ...[
        "--setting",
        "greedy",
        "--setting",
        "{name: t1, temperature: 1, completions_per_prompt: 2}",
        "--max-completion-tokens",
        "6",
      ],
    ],
    place.folder,
  );
  expect(evaluated.code, evaluated.stderr).toBe(0);
  expect(evaluated.stdout).toMatch(/^greedy +4 +1 +[\d.]+ % /m);
  expect(evaluated.stdout).toMatch(/^t1 +4 +2 +[\d.]+ % /m);

  const generated = await sightloop(
    [
      "generate",
      "--model",
      warm,
      "--image",
      "image.png",
      "--question",
      "total?",
      "--max-completion-tokens",
      "5",
      "--json",
    ],
    place.folder,
  );
  expect(generated.code, generated.stderr).toBe(0);
  expect(JSON.parse(generated.stdout)).toMatchObject({ finish_reason: expect.stringMatching(/stop|length/) as string });
});

test("a dry run shows origins, batches and memory, and writes nothing", async () => {
  const before = readdirSync(place.folder);
  const { code, stdout, stderr } = await sightloop(["train", "run.yaml", "--dry-run", "--set", "seed=7"], place.folder);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^seed +7 +--set seed=7$/m);
  expect(stdout).toMatch(/^prompts_per_step +3 +run\.yaml:\d+$/m);
  expect(stdout).toMatch(/^sampling\.top_p +1 +default$/m);
  expect(stdout).toContain("prompts_per_step 3 x completions_per_prompt 4 = 12 completions a step");
  expect(stdout).toMatch(/^kv cache +[\d.]+ GiB +rollout$/m);
  expect(stdout).toMatch(/^predicted peak +[\d.]+ GiB +(rollout|score|update)$/m);
  expect(readdirSync(place.folder)).toEqual(before);
});

describe("Ctrl-C", () => {
  test("ends with a checkpoint and 130; --resume goes on from it, without naming the config", async () => {
    const args = [
      "train",
      "run.yaml",
      "--run-folder",
      "stopped",
      "--set",
      "steps=300",
      "--set",
      "checkpoint.every_steps=0",
    ];
    const run = start(args, place.folder);
    await run.line(/^step 2\//m);
    run.child.kill("SIGINT");
    const { code, stderr } = await run.done;
    expect(code).toBe(130);
    expect(stderr).toMatch(/error: interrupted after step \d+ of 300/);
    expect(stderr).toContain("hint: Go on with: sightloop train --run-folder stopped --resume");
    const finished = Number(/after step (\d+)/.exec(stderr)![1]);
    expect(readFileSync(place.path("stopped/checkpoints/latest"), "utf8").trim()).toBe(
      `step-${String(finished).padStart(6, "0")}`,
    );
    expect(existsSync(place.path("stopped/lock"))).toBe(false);

    const more = ["train", "--run-folder", "stopped", "--resume", "--set", `steps=${finished + 1}`];
    const resumed = await sightloop(more, place.folder);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stdout).toContain(`resumed after step ${finished} of ${finished + 1}`);
    expect(resumed.stdout).toContain(`done after ${finished + 1} steps`);
  });

  test("a second one stops at once", async () => {
    const run = start(
      ["train", "run.yaml", "--run-folder", "killed", "--set", "steps=300", "--set", "prompts_per_step=300"],
      place.folder,
    );
    await run.line(/300 steps/);
    run.child.kill("SIGINT");
    await new Promise((wake) => setTimeout(wake, 50));
    run.child.kill("SIGINT");
    const stopped = performance.now();
    expect((await run.done).code).toBe(130);
    expect(performance.now() - stopped).toBeLessThan(5000);
  });

  test("the lock of a run that was killed is taken over, that of a living one is not", async () => {
    const args = ["train", "run.yaml", "--run-folder", "locked", "--set", "steps=300"];
    const run = start(args, place.folder);
    await run.line(/^step 1\//m);
    const second = await sightloop([...args, "--resume"], place.folder);
    expect(second.code).toBe(2);
    expect(second.stderr).toContain("locked is in use by another run");
    run.child.kill("SIGKILL");
    await run.done;
    const third = await sightloop([...args.slice(0, 4), "--resume", "--set", "steps=1"], place.folder);
    expect(third.code, third.stderr).toBe(0);
  });
});

test("doctor trains one step and finds nothing broken", async () => {
  const { code, stdout } = await sightloop(["doctor", "--json"], place.folder);
  const findings = JSON.parse(stdout) as { name: string; status: string; detail: string }[];
  expect(findings.filter(({ status }) => status === "broken")).toEqual([]);
  expect(findings.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["node", "libtorch", "addon", "smoke step", "memory", "disk"]),
  );
  expect(code).toBe(0);
});
