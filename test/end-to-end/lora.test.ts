import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { type TrainConfig, trainConfigSchema } from "../../src/config/schema.js";
import type { TrainEvent } from "../../src/pipeline/events.js";
import { hashes, reproducibleMetrics, sightloop, smallRun, trainHere, workspace } from "./support.js";

const place = workspace();
const lora = { rank: 4, alpha: 8 };
const config = (run_folder: string, model: object = { lora }, changes: object = {}): TrainConfig =>
  trainConfigSchema.parse({
    ...smallRun,
    old_logprobs: "recompute",
    ...changes,
    run_folder,
    model: { path: place.model, ...model },
  });
const results = (folder: string) =>
  hashes(folder, /(^|\/)(config\.yaml|manifest.*\.json|metrics\.jsonl|cursor\.json)$/);
const last = (events: readonly TrainEvent[]) => events.at(-1) as Extract<TrainEvent, { type: "done" }>;

describe("a run with model.lora", () => {
  test("saves the adapter, the merged model and a small state; sampler and trainer agree at every step", async () => {
    const folder = place.path("whole");
    const { events, error } = await trainHere(config(folder));
    expect(error).toBeUndefined();
    const checkpoint = `${folder}/checkpoints/step-000004`;
    expect(readdirSync(checkpoint).sort()).toEqual(["adapter", "cursor.json", "model", "state"]);
    expect(readdirSync(`${checkpoint}/adapter`)).toEqual(["adapter_config.json", "adapter_model.safetensors"]);
    expect(readdirSync(`${checkpoint}/state`).sort()).toEqual(["optimizer.safetensors", "trained.safetensors"]);
    expect(last(events)).toMatchObject({ model_path: `${checkpoint}/model`, adapter_path: `${checkpoint}/adapter` });
    const size = (name: string) => statSync(`${checkpoint}/${name}`).size;
    expect(size("state/trained.safetensors")).toBeLessThan(size("model/model.safetensors") / 10);
    const steps = events.filter((event) => event.type === "step");
    expect(steps).toHaveLength(4);
    for (const { metrics } of steps) expect(metrics["rollout_mismatch_max"]).toBeLessThan(1e-4);
    expect(steps.at(-1)!.metrics["kl_reference"]).toBeGreaterThan(0);
  });

  test("stopped after step 2 and resumed gives the same bits as uninterrupted", async () => {
    const folder = place.path("stopped");
    const controller = new AbortController();
    const first = await trainHere(config(folder), {
      signal: controller.signal,
      onEvent: (event) => (event.type === "progress" && event.step === 3 ? controller.abort() : undefined),
    });
    expect(first.error).toMatchObject({ code: "INTERRUPTED" });
    const second = await trainHere(config(folder), { resume: true });
    expect(second.error).toBeUndefined();
    expect(results(folder)).toEqual(results(place.path("whole")));
    expect(await reproducibleMetrics(folder)).toEqual(await reproducibleMetrics(place.path("whole")));
  });

  test("resumed beside another base model, says so and learns nothing", async () => {
    const model = place.path("replaced");
    mkdirSync(model);
    for (const name of readdirSync(place.model)) copyFileSync(`${place.model}/${name}`, `${model}/${name}`);
    const folder = place.path("other-base");
    const asked = (steps: number) => config(folder, { path: model, lora }, { steps, evaluate: {} });
    expect((await trainHere(asked(2))).error).toBeUndefined();
    copyFileSync(
      `${place.path("whole")}/checkpoints/step-000004/model/model.safetensors`,
      `${model}/model.safetensors`,
    );
    const { error } = await trainHere(asked(2), { resume: true });
    expect(error).toMatchObject({ code: "CHECKPOINT_INVALID" });
    expect((error as Error).message).toContain("was trained beside other weights than those in");
  });

  test("goes on from an adapter; without save_merged a checkpoint holds no model", async () => {
    const adapter = `${place.path("whole")}/checkpoints/step-000004/adapter`;
    const folder = place.path("continued");
    const { events, error } = await trainHere(
      config(folder, { lora: { path: adapter, save_merged: false } }, { steps: 1, evaluate: {} }),
    );
    expect(error).toBeUndefined();
    const checkpoint = `${folder}/checkpoints/step-000001`;
    expect(readdirSync(checkpoint).sort()).toEqual(["adapter", "cursor.json", "state"]);
    expect(last(events)).toMatchObject({ model_path: null, adapter_path: `${checkpoint}/adapter` });
    const read = (path: string): unknown => JSON.parse(readFileSync(`${path}/adapter_config.json`, "utf8"));
    expect(read(`${checkpoint}/adapter`)).toEqual(read(adapter));
  });

  test("with a trained connector, holds no adapter on its own: it would lack the connector", async () => {
    const folder = place.path("connector");
    const { error } = await trainHere(config(folder, { lora, train_connector: true }, { steps: 1, evaluate: {} }));
    expect(error).toBeUndefined();
    expect(readdirSync(`${folder}/checkpoints/step-000001`).sort()).toEqual(["cursor.json", "model", "state"]);
  });

  test("an adapter folder that is not there is named before the model is loaded", async () => {
    const { error } = await trainHere(config(place.path("nowhere"), { lora: { path: place.path("none") } }));
    expect(error).toMatchObject({ code: "FILE_NOT_FOUND" });
    expect((error as Error).message).toContain("none does not exist");
  });
});

describe("the commands", () => {
  const question = ["--image", "image.png", "--question", "total?", "--max-completion-tokens", "8", "--json"];
  const photo = () => {
    const images = `${place.path("whole")}/images`;
    copyFileSync(`${images}/${readdirSync(images)[0]!}`, place.path("image.png"));
  };

  test("sft trains an adapter; evaluate, generate and merge use it", async () => {
    photo();
    const sft = {
      ...{ steps: 3, prompts_per_step: 4, max_completion_tokens: 17, evaluate: {} },
      model: { path: place.model, lora: { rank: 4, alpha: 32 } },
      datasets: { train: { name: "fashion_grid", pool: "labelled", count: 8 } },
      optimizer: { learning_rate: 2e-2 },
    };
    writeFileSync(place.path("sft.yaml"), stringify(sft));
    const trained = await sightloop(["sft", "sft.yaml", "--run-folder", "sft"], place.folder);
    expect(trained.code, trained.stderr).toBe(0);
    const adapter = "sft/checkpoints/step-000003/adapter";
    expect(trained.stdout).toContain(`the adapter is ${adapter}`);

    const base = ["--model", place.model];
    const text = async (model: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await sightloop(["generate", ...model, ...question], place.folder);
      expect(code, stderr).toBe(0);
      return (JSON.parse(stdout) as { text: string }).text;
    };
    const merged = await sightloop(["merge", ...base, "--adapter", adapter, "--output", "merged"], place.folder);
    expect(merged.code, merged.stderr).toBe(0);
    const adapted = await text([...base, "--adapter", adapter]);
    expect(adapted).not.toBe(await text(base));
    expect(await text(["--model", "merged"])).toBe(adapted);
    expect(await text(["--model", "sft/checkpoints/step-000003/model"])).toBe(adapted);
    const saved = readFileSync(place.path("sft/checkpoints/step-000003/model/model.safetensors"));
    expect(readFileSync(place.path("merged/model.safetensors")).equals(saved)).toBe(true);

    const dataset = "{name: fashion_grid, split: test, count: 4}";
    const options = ["--dataset", dataset, "--max-completion-tokens", "6", "--json"];
    const evaluated = await sightloop(["evaluate", ...base, "--adapter", adapter, ...options], place.folder);
    expect(evaluated.code, evaluated.stderr).toBe(0);
    expect(JSON.parse(evaluated.stdout)).toMatchObject({ adapter, results: [{ num_items: 4 }] });
  });

  test.each([
    [["generate"], question],
    [["merge"], ["--output", "never"]],
  ])("%s names an adapter that is not there", async (verb, rest) => {
    const { code, stderr } = await sightloop(
      [...verb, "--model", place.model, "--adapter", "nowhere", ...rest],
      place.folder,
    );
    expect(code).toBe(2);
    expect(stderr).toContain("the adapter folder nowhere does not exist");
    expect(stderr).not.toContain("    at ");
    expect(readdirSync(place.folder)).not.toContain("never");
  });

  test("--dry-run shows what is trained and that the reference takes nothing", async () => {
    writeFileSync(place.path("rl.yaml"), stringify({ ...smallRun, model: { path: place.model, lora } }));
    const { code, stdout, stderr } = await sightloop(["train", "rl.yaml", "--dry-run", "--json"], place.folder);
    expect(code, stderr).toBe(0);
    const { memory } = JSON.parse(stdout) as {
      memory: { num_trainable_parameters: number; parts: { name: string; bytes: number }[] };
    };
    const trained = 3 * 4 * (4 * (96 + 96) + 3 * (96 + 288));
    expect(memory.num_trainable_parameters).toBe(trained);
    const bytes = Object.fromEntries(memory.parts.map((part) => [part.name, part.bytes]));
    expect(bytes).toMatchObject({ reference: 0, moments: 8 * trained, gradients: 4 * trained });
  });
});
