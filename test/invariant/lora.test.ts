/** What an adapter must and must not change; on the fixtures' Qwen2.5-VL, float32 on CPU unless said otherwise. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listValues } from "../../src/batches/columns.js";
import type { RolloutBatch } from "../../src/batches/rollout.js";
import type { Engine, EngineOptions } from "../../src/engine/engine.js";
import { openTestEngine, sampling, untimed } from "../helpers/engine.js";
import { addFixtureImages, casePrompts, families, maxAbsDiff } from "../helpers/fixtures.js";
import { LANGUAGE_ONLY, lossTrajectories } from "../helpers/lora.js";
import { writeSafetensors } from "../helpers/checkpoints.js";
import { SafetensorsFile } from "../helpers/safetensors.js";

const root = mkdtempSync(join(tmpdir(), "sightloop-lora-"));
afterAll(() => rmSync(root, { recursive: true }));
const folder = (name: string): string => {
  mkdirSync(join(root, name), { recursive: true });
  return join(root, name);
};

const family = families().find(({ name }) => name === "qwen2_5_vl")!;
const LORA = { rank: 8, alpha: 16 };
const SHORT = sampling({ max_completion_tokens: 11 });

async function open(overrides: Partial<EngineOptions> = {}, checkpoint = family.checkpoint) {
  const { engine } = await openTestEngine(checkpoint, { trainable: LANGUAGE_ONLY, lora: LORA, ...overrides });
  const images = await addFixtureImages(engine, family.reference.image_names);
  return { engine, images, prompts: casePrompts(family, "batch", images) };
}

const floats = (batch: RolloutBatch, name: string) => listValues<Float32Array>(batch, name).values;
const tokens = (batch: RolloutBatch) => [...listValues<Int32Array>(batch, "token_ids").values];
const logprobs = async (engine: Engine, batch: RolloutBatch, which: "policy" | "reference" = "policy") =>
  listValues<Float32Array>(await engine.score(batch, which), "logprobs").values;

/** A few steps, so that the adapter has moved far. */
async function learn({ engine, images }: Awaited<ReturnType<typeof open>>, steps = 3) {
  for (let step = 0; step < steps; step++) await engine.update(lossTrajectories(family, images));
}

describe("an adapter", () => {
  test("changes nothing while it is new: B is 0, A uniform within its bound and fixed by the seed", async () => {
    const [plain, fresh, again, other] = [
      await open({ lora: null }),
      await open(),
      await open(),
      await open({ seed: 1 }),
    ];
    const rollouts = await plain.engine.generate(plain.prompts, 2, SHORT);
    expect(await logprobs(fresh.engine, rollouts)).toEqual(await logprobs(plain.engine, rollouts));
    const files = [];
    for (const [name, { engine }] of Object.entries({ fresh, again, other })) {
      await engine.saveAdapter(folder(name));
      files.push(new SafetensorsFile(join(folder(name), "adapter_model.safetensors")));
    }
    const [first, second, third] = files as [SafetensorsFile, SafetensorsFile, SafetensorsFile];
    expect(first.names.length).toBe(4 * 7 * 2);
    for (const name of first.names) {
      const data = first.get(name).data as Float32Array;
      expect(second.get(name).data, name).toEqual(data);
      if (name.endsWith("lora_B.weight")) expect(Math.max(...data.map(Math.abs)), name).toBe(0);
      else {
        const bound = 1 / Math.sqrt(first.get(name).shape[1]!);
        expect(Math.max(...data.map(Math.abs)), name).toBeLessThan(bound);
        const deviation = Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / data.length);
        expect(deviation / (bound / Math.sqrt(3)), name).toBeGreaterThan(0.9);
        expect(deviation / (bound / Math.sqrt(3)), name).toBeLessThan(1.1);
        expect(third.get(name).data, name).not.toEqual(data);
      }
    }
    for (const { engine } of [plain, fresh, again, other]) await engine.close();
  });

  test.each([
    ["packed", { pack_weights: true }],
    ["not packed", { pack_weights: false }],
  ])("recorded log-probs are the scored ones after every update, weights %s", async (_, overrides) => {
    const at = await open(overrides);
    const seen = [];
    for (let round = 0; round < 3; round++) {
      const rollouts = await at.engine.generate(at.prompts, 4, SHORT);
      expect(maxAbsDiff(floats(rollouts, "rollout_logprobs"), await logprobs(at.engine, rollouts))).toBeLessThan(1e-4);
      seen.push(tokens(rollouts).join());
      await learn(at, 1);
    }
    expect(new Set(seen).size).toBe(3);
    await at.engine.close();
  });

  test("its own reference is the base with the adapter off, and takes no memory", async () => {
    const [plain, at] = [await open({ lora: null }), await open()];
    const rollouts = await plain.engine.generate(plain.prompts, 2, SHORT);
    const before = await logprobs(plain.engine, rollouts);
    await learn(at);
    expect(await logprobs(at.engine, rollouts, "reference")).toEqual(before);
    expect(maxAbsDiff(await logprobs(at.engine, rollouts), before)).toBeGreaterThan(0.01);
    const [full, low] = [await plain.engine.memory(), await at.engine.memory()];
    expect(low.reference_bytes).toBe(0);
    expect(full.reference_bytes).toBeGreaterThan(1e6);
    const { num_parameters, num_trainable_parameters } = at.engine.model;
    expect(num_trainable_parameters).toBe(8 * 4 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 144)));
    expect(num_parameters).toBe(plain.engine.model.num_parameters + num_trainable_parameters);
    expect(low.optimizer_bytes).toBe(2 * 4 * num_trainable_parameters);
    for (const { engine } of [plain, at]) await engine.close();
  });

  test("a reference of its own path is honoured", async () => {
    const at = await open({ reference_path: family.checkpoint });
    expect((await at.engine.memory()).reference_bytes).toBeGreaterThan(1e6);
    await at.engine.close();
  });

  test("bfloat16: the adapter stays float32, has no second master, and passes the gate", async () => {
    const at = await open({ dtype: "bfloat16" });
    await learn(at, 2);
    const { num_parameters, num_trainable_parameters: trained } = at.engine.model;
    const { weights_bytes, optimizer_bytes } = await at.engine.memory();
    expect(weights_bytes).toBe(2 * (num_parameters - trained) + 4 * trained);
    expect(optimizer_bytes).toBe(2 * 4 * trained);
    const rollouts = await at.engine.generate(at.prompts, 4, SHORT);
    const [recorded, scored] = [floats(rollouts, "rollout_logprobs"), await logprobs(at.engine, rollouts)];
    const differences = recorded.map((value, i) => scored[i]! - value);
    const k3 = differences.reduce((sum, x) => sum + Math.exp(x) - 1 - x, 0) / differences.length;
    expect(k3).toBeLessThan(1e-3);
    await at.engine.saveAdapter(folder("narrow"));
    const saved = new SafetensorsFile(join(folder("narrow"), "adapter_model.safetensors"));
    expect(saved.get(saved.names[0]!).data).toBeInstanceOf(Float32Array);
    await at.engine.close();
  });

  test("vision tower and connector can be trained in full beside it", async () => {
    const trainable = { train_vision_tower: true, train_connector: true, train_language_model: true };
    const at = await open({ trainable });
    const gradients = [...(await at.engine.inspectGradients(lossTrajectories(family, at.images))).keys()];
    expect(gradients.filter((name) => name.startsWith("visual.")).length).toBeGreaterThan(20);
    expect(gradients.filter((name) => name.includes(".lora_")).length).toBe(4 * 7 * 2);
    expect(gradients.filter((name) => !/^visual\.|\.lora_[AB]\.weight$/.test(name))).toEqual([]);
    await at.engine.close();
  });
});

describe("saved", () => {
  let at: Awaited<ReturnType<typeof open>>;
  let rollouts: RolloutBatch;
  beforeAll(async () => {
    at = await open();
    await learn(at);
    rollouts = await at.engine.generate(at.prompts, 3, SHORT);
    await at.engine.saveAdapter(folder("adapter"));
    cpSync(family.checkpoint, folder("merged"), { recursive: true });
    await at.engine.saveModel(folder("merged"));
  });
  afterAll(async () => at?.engine.close());

  test("merged weights are an ordinary model with the same log-probs; untouched tensors are the base's", async () => {
    const { engine } = await open({ lora: null }, folder("merged"));
    expect(maxAbsDiff(await logprobs(engine, rollouts), await logprobs(at.engine, rollouts))).toBeLessThan(1e-4);
    await engine.close();
    const [before, after] = [family.checkpoint, folder("merged")].map(
      (path) => new SafetensorsFile(join(path, "model.safetensors")),
    ) as [SafetensorsFile, SafetensorsFile];
    expect([...after.names].sort()).toEqual([...before.names].sort());
    for (const name of before.names) {
      const same = maxAbsDiff(before.get(name).data as Float32Array, after.get(name).data as Float32Array) === 0;
      expect(same, name).toBe(!/^model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj\.weight$/.test(name));
    }
  });

  test("loaded again: the same bits; a reference opened with it is the policy at the start", async () => {
    const again = await open({ lora: { path: folder("adapter") } });
    const before = await logprobs(at.engine, rollouts);
    expect(await logprobs(again.engine, rollouts)).toEqual(before);
    await learn(again, 2);
    expect(await logprobs(again.engine, rollouts, "reference")).toEqual(before);
    expect((await again.engine.memory()).reference_bytes).toBe(4 * again.engine.model.num_trainable_parameters);
    await again.engine.close();
  });

  test("the module paths of transformers 4 load to the same, in bfloat16 files too", async () => {
    const old = folder("transformers-4");
    cpSync(folder("adapter"), old, { recursive: true });
    const saved = new SafetensorsFile(join(old, "adapter_model.safetensors"));
    const renamed = saved.names.map((name) => {
      expect(name).toMatch(/^base_model\.model\.model\.language_model\.layers\.\d+\..*\.lora_[AB]\.weight$/);
      const { shape, data } = saved.get(name);
      return [name.replace("model.language_model.", "model."), { shape, data: data as Float32Array }] as const;
    });
    writeSafetensors(join(old, "adapter_model.safetensors"), new Map(renamed), "F32");
    const again = await open({ lora: { path: old } });
    expect(await logprobs(again.engine, rollouts)).toEqual(await logprobs(at.engine, rollouts));
    await again.engine.close();
    writeSafetensors(join(old, "adapter_model.safetensors"), new Map(renamed), "BF16");
    const rounded = await open({ lora: { path: old } });
    const difference = maxAbsDiff(await logprobs(rounded.engine, rollouts), await logprobs(at.engine, rollouts));
    expect(difference).toBeGreaterThan(0);
    expect(difference).toBeLessThan(0.1);
    await rounded.engine.close();
  });

  test("state saved and restored elsewhere continues bit for bit, and holds the adapter alone", async () => {
    const state = folder("state");
    const first = await open();
    await learn(first, 2);
    await first.engine.saveState(state);
    const trained = new SafetensorsFile(join(state, "trained.safetensors"));
    expect(trained.names.length).toBe(4 * 7 * 2);
    const resumed = await open();
    await resumed.engine.loadState(state);
    const stats = [];
    for (const { engine, images, prompts } of [first, resumed]) {
      const update = await engine.update(lossTrajectories(family, images));
      stats.push([untimed(update), floats(await engine.generate(prompts, 2, SHORT), "rollout_logprobs")]);
    }
    expect(stats[1]).toEqual(stats[0]);
    const files = ["trained.safetensors", "optimizer.safetensors"];
    const bytes = [];
    for (const { engine } of [first, resumed]) {
      await engine.saveState(state);
      bytes.push(files.map((name) => readFileSync(join(state, name)).toString("base64")));
      await engine.close();
    }
    expect(bytes[1]).toEqual(bytes[0]);
    const elsewhere = await open({}, folder("merged"));
    await expect(elsewhere.engine.loadState(state)).rejects.toThrow(/was trained beside other weights than those in/);
    await elsewhere.engine.close();
  });
});

describe("what cannot be is refused by name", () => {
  const damaged = (edit: (path: string) => void): string => {
    const path = mkdtempSync(join(root, "damaged-"));
    cpSync(join(family.folder, "lora"), path, { recursive: true });
    edit(path);
    return path;
  };
  const config = (change: object) => (path: string) => {
    const file = join(path, "adapter_config.json");
    writeFileSync(file, JSON.stringify({ ...(JSON.parse(readFileSync(file, "utf8")) as object), ...change }));
  };
  const names = (rename: (name: string) => string | undefined) => (path: string) => {
    const file = join(path, "adapter_model.safetensors");
    const saved = new SafetensorsFile(file);
    const kept = saved.names.flatMap((name) => {
      const { shape, data } = saved.get(name);
      const renamed = rename(name);
      return renamed === undefined ? [] : [[renamed, { shape, data: data as Float32Array }] as const];
    });
    writeSafetensors(file, new Map(kept), "F32");
  };

  test.each<[string, NonNullable<EngineOptions["lora"]>, RegExp]>([
    ["a target that no layer has", { ...LORA, targets: ["query"] }, /"query" names no linear layer.*q_proj, k_proj/],
    ["the LM head", { ...LORA, targets: ["lm_head"] }, /"lm_head" names no linear layer/],
    ["all_linear among names", { ...LORA, targets: ["all_linear", "q_proj"] }, /"all_linear" names no linear layer/],
    ["rank 0", { rank: 0, alpha: 1 }, /rank 0 must be from 1 to the language model's hidden_size 64/],
    ["a rank above the width", { rank: 65, alpha: 1 }, /rank 65 must be from 1/],
    ["no rank", { alpha: 1 }, /give rank and alpha, or path/],
  ])("%s", async (_, lora, message) => {
    await expect(open({ lora })).rejects.toThrow(message);
  });

  test.each<[string, (path: string) => void, RegExp]>([
    ["another rank than the tensors'", config({ r: 5 }), /has shape \[4, 64\], but .* ask for \[5, 64\]/],
    [
      "a rank above the width",
      config({ r: 65 }),
      /r 65 in adapter_config\.json is larger than the base's hidden_size 64/,
    ],
    ["a start that changes the base", config({ init_lora_weights: "pissa" }), /init_lora_weights is "pissa"/],
    ["no rank", config({ r: null }), /r is not a positive whole number/],
    ["DoRA", config({ use_dora: true }), /use_dora is true, which is not supported/],
    ["ranks by layer", config({ rank_pattern: { q_proj: 2 } }), /rank_pattern is .* which is not supported/],
    ["whole modules", config({ modules_to_save: ["lm_head"] }), /modules_to_save is .* which is not supported/],
    ["trained biases", config({ bias: "all" }), /bias is "all", only "none" is supported/],
    ["another method", config({ peft_type: "IA3" }), /peft_type is "IA3", only "LORA" is supported/],
    ["no JSON", (path) => writeFileSync(join(path, "adapter_config.json"), "{"), /is not a JSON object/],
    [
      "an unknown layout",
      names((name) => name.replace("model.language_model.", "text_model.")),
      /belongs to no linear layer of the language model. Known are keys like/,
    ],
    ["no wrapper", names((name) => name.replace("base_model.model.", "")), /belongs to no linear layer/],
    ["layers that the base lacks", names((name) => name.replace("layers.3", "layers.4")), /layers\.4.* belongs to no/],
    [
      "half an adapter",
      names((name) => (name.includes("layers.2.mlp.up_proj.lora_B") ? undefined : name)),
      /lacks the/,
    ],
    [
      "an adapter of the vision tower",
      names((name) => name.replace("model.language_model.layers.0", "model.visual.blocks.0")),
      /adapts the vision tower/,
    ],
    ["a tensor that is no half", names((name) => name.replace("lora_A.weight", "lora_magnitude")), /is neither lora_A/],
    ["nothing", names(() => undefined), /holds no tensor/],
    ["no weights", (path) => rmSync(join(path, "adapter_model.safetensors")), /cannot be opened/],
    [
      "a pickle",
      (path) => {
        rmSync(join(path, "adapter_model.safetensors"));
        writeFileSync(join(path, "adapter_model.bin"), "");
      },
      /holds adapter_model\.bin, which is not read/,
    ],
  ])("a folder with %s", async (_, damage, message) => {
    const opening = open({ lora: { path: damaged(damage) } });
    await expect(opening).rejects.toMatchObject({
      code: "CHECKPOINT_INVALID",
      message: expect.stringMatching(message) as string,
    });
  });

  test.each<[NonNullable<EngineOptions["lora"]>, RegExp]>([
    [{ rank: 8 }, /model\.lora\.rank is 8, but the adapter in .* has 4/],
    [{ alpha: 4 }, /model\.lora\.alpha is 4, but the adapter in .* has 6/],
    [{ rslora: true }, /model\.lora\.rslora is true, but the adapter in .* has false/],
    [{ targets: ["q_proj"] }, /model\.lora\.targets is .*q_proj.*, but the adapter in/],
  ])("%j beside a folder that says otherwise", async (asked, message) => {
    await expect(open({ lora: { path: join(family.folder, "lora"), ...asked } })).rejects.toThrow(message);
  });

  test("saving an adapter that is not there", async () => {
    const { engine } = await open({ lora: null });
    await expect(engine.saveAdapter(root)).rejects.toThrow(/this engine has no adapter/);
    await engine.close();
  });
});
