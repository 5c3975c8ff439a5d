import { describe, expect, test } from "vitest";
import { checkFits, type Available } from "../../../src/config/memory-fit.js";
import { type MemoryPlan, type MemoryQuestion, planOf } from "../../../src/config/memory-plan.js";
import type { ModelSizes } from "../../../src/config/model-sizes.js";
import { sftConfigSchema, trainConfigSchema } from "../../../src/config/schema.js";
import { engineDevice } from "../../../src/engine/device.js";
import { UserError } from "../../../src/errors.js";
import { configHash, differingKeys } from "../../../src/reports/config-file.js";

const parameters = 1e9;
const sizes: ModelSizes = {
  ...{
    parameters: { vision_tower: 0, connector: 1e6, language_model: parameters },
    file_bytes: 2e9,
    vision: undefined,
  },
  language: { blocks: 24, width: 1024, kv_width: 256, heads: 8, intermediate: 4096, vocabulary: 1000 },
};
const question = (changes: Partial<MemoryQuestion> = {}): MemoryQuestion => ({
  ...{
    on_device: true,
    process_bytes: 1e6,
    image_cache_bytes: 0,
    optimizer_shares: 1,
    parameter_shares: 1,
    pack_weights: false,
  },
  model: { path: "", dtype: "bfloat16", train_vision_tower: false, train_connector: false, train_language_model: true },
  ...{ with_reference: true, reference_path: null, samples: true, scores: true, activation_checkpointing: true },
  prompts: { tokens: 100, patches: 0, how: "given", num_images: 0, images_per_prompt: 0 },
  ...{ max_completion_tokens: 101, completions_per_prompt: 8, max_concurrent_completions: 8, kv_block_size: 16 },
  ...{ prompts_per_step: 8, completions_per_update: 64, tokens_per_microbatch: 1024 },
  ...changes,
});
const plan = (changes: Partial<MemoryQuestion> = {}): MemoryPlan => planOf(sizes, question(changes));
const both = { offload_optimizer: true, offload_reference: true };
const held = ({ parts }: MemoryPlan, phase: "score" | "update"): number =>
  parts.reduce((sum, part) => sum + (part.on_host !== true && part.held_in.includes(phase) ? part.bytes : 0), 0);

describe("what is offloaded", () => {
  test("moments and masters go to the host, in every phase", () => {
    const beside = plan();
    const offloaded = plan({ offload_optimizer: true });
    expect(beside.host_bytes).toBe(0);
    expect(offloaded.host_bytes).toBe(12 * parameters);
    expect(held(beside, "update") - held(offloaded, "update")).toBeCloseTo(12 * parameters, -9);
    expect(offloaded.peak_bytes).toBeLessThan(beside.peak_bytes - 11 * parameters);
  });
  test("the reference goes to the host, and comes to the device while it scores", () => {
    const offloaded = plan({ offload_reference: true });
    const pinned = 3 * 2 ** 30; // 2e9 B in blocks of 1 GiB that are 85 % full
    expect(offloaded.host_bytes).toBe(pinned);
    const of_reference = offloaded.parts.filter(({ name }) => name.startsWith("reference"));
    expect(of_reference).toMatchObject([
      { name: "reference", held_in: ["score"], bytes: 2 * parameters },
      { name: "reference at rest", on_host: true, bytes: pinned },
    ]);
  });
  test("ranks that share the optimizer each offload their share", () => {
    expect(plan({ offload_optimizer: true, optimizer_shares: 4 }).host_bytes).toBe(3 * parameters);
  });
});

describe("a plan that does not fit the device", () => {
  const hint = (available: Available, changes: Partial<MemoryQuestion> = {}): string => {
    try {
      checkFits(sizes, question(changes), plan(changes), available);
    } catch (error) {
      if (error instanceof UserError) return error.hint;
      throw error;
    }
    return "it fits";
  };
  const just = (changes: Partial<MemoryQuestion>): Available => ({ bytes: plan(changes).peak_bytes });

  test("names the least that makes it fit", () => {
    expect(hint(just({ offload_reference: true }))).toContain("et reference.offload: true, which");
    expect(hint(just({ offload_optimizer: true }))).toContain("et optimizer.offload: true, which");
    expect(hint(just(both))).toContain("et reference.offload: true and optimizer.offload: true, which");
    expect(hint(just({ ...both, with_reference: false }), { with_reference: false })).toContain(
      "Set optimizer.offload: true, which",
    );
  });
  test("names it with smaller microbatches where neither is enough", () => {
    const large = { tokens_per_microbatch: 65536, prompts_per_step: 512, completions_per_update: 4096 };
    expect(hint(just(both), large)).toMatch(
      /^Set reference.offload: true and optimizer.offload: true, .* and lower tokens_per_microbatch to \d+ /,
    );
  });
  test("names nothing that is offloaded already, nor anything where all is in host memory", () => {
    expect(hint({ bytes: plan(both).peak_bytes - 1e6 }, both)).not.toContain("offload");
    expect(hint({ bytes: 1e9 }, { on_device: false })).not.toContain("offload");
  });
  test("names nothing that the host has no room for", () => {
    const few = { ...just({ offload_optimizer: true }), host_bytes: 11e9 };
    expect(hint(few)).not.toContain("offload");
    expect(hint({ ...few, host_bytes: 13e9 })).toContain("optimizer.offload: true");
  });
  test("host memory has its limit as well", () => {
    const { peak_bytes } = plan(both);
    expect(hint({ bytes: peak_bytes, host_bytes: 13e9 }, both)).toContain("Offload less");
    expect(hint({ bytes: peak_bytes, host_bytes: 16e9 }, both)).toBe("it fits");
  });
});

describe("on the CPU it is refused", () => {
  const common = {
    model: { path: "m" },
    datasets: { train: { name: "jsonl", path: "a.jsonl" } },
    ...{ steps: 1, prompts_per_step: 1 },
  };
  const train = (device: string, key: "optimizer" | "reference") =>
    trainConfigSchema.safeParse({
      ...{ ...common, device, completions_per_prompt: 2, completions_per_update: 2 },
      algorithm: { name: "grpo", kl_loss_coefficient: 0.01 },
      rewards: [{ name: "accuracy" }],
      optimizer: { learning_rate: 1e-6, offload: key === "optimizer" },
      reference: { offload: key === "reference" },
    });
  test.each(["optimizer", "reference"] as const)("%s.offload with device: cpu", (key) => {
    const { error } = train("cpu", key);
    expect(error?.issues).toMatchObject([{ path: [key, "offload"] }]);
    expect(error?.issues[0]?.message).toContain("no meaning with device: cpu");
    expect(train("cuda", key).success).toBe(true);
    expect(train("auto", key).success).toBe(true);
  });
  test("supervised fine-tuning, too", () => {
    const optimizer = { learning_rate: 1e-6, offload: true };
    expect(sftConfigSchema.safeParse({ ...common, device: "cuda", optimizer }).success).toBe(true);
    expect(sftConfigSchema.safeParse({ ...common, device: "cpu", optimizer }).success).toBe(false);
  });
  test("device: auto where there is none", () => {
    const refused = expect.objectContaining({ code: "CONFIG_INVALID" }) as Error;
    expect(() => engineDevice({ device: "auto", deterministic: "run", offloads: true }, 0)).toThrow(refused);
    expect(() => engineDevice({ device: "auto", deterministic: "batch_invariant", offloads: true }, 1)).toThrow(
      refused,
    );
    expect(engineDevice({ device: "auto", deterministic: "batch_invariant", offloads: false }, 1)).toBe("cpu");
    expect(engineDevice({ device: "auto", deterministic: "run", offloads: true }, 1)).toBe("cuda:0");
  });
});

test("images prepared ahead count as host memory, patches up to a limit and only of a frozen tower", () => {
  const block = { blocks: 1, width: 8, kv_width: 8, heads: 1, intermediate: 8 };
  const vision = { ...block, merged_patches: 4, patch_elements: 1176, pixel_bytes: 588 };
  const seeing = { ...sizes, vision };
  const prompts = { tokens: 300, patches: 1024, how: "given", num_images: 8, images_per_prompt: 1 };
  const bytes = (changes: Partial<MemoryQuestion>): number =>
    planOf(seeing, question({ prompts, prefetch_images: true, ...changes })).host_bytes;
  const [pixels, patches] = [1024 * 588, 1024 * 1176 * 4];
  expect(bytes({ prompts_per_step: 8 })).toBe(8 * (pixels + patches));
  expect(bytes({ prompts_per_step: 800 })).toBe(800 * pixels + 2 ** 29);
  expect(bytes({ model: { ...question().model, train_connector: true } })).toBe(8 * pixels);
  expect(bytes({ prefetch_images: false })).toBe(0);
});

test("a run may be gone on with offloaded or not", () => {
  const config = { optimizer: { learning_rate: 1, offload: false }, reference: { path: null, offload: false } };
  const other = { optimizer: { learning_rate: 1, offload: true }, reference: { path: null, offload: true } };
  expect(configHash(other)).toBe(configHash(config));
  expect(differingKeys(JSON.stringify(config), other)).toEqual([]);
});
