/**
 * What an H100 allows at most, by counted operations and bytes; what that makes of a step at assumed shares of it; memory of the
 * planned set-ups; and a projection to 8 and 64 devices.   node bench/roofline.mjs
 * Nothing here is measured on a device but the two limits in `device`. Needs a built checkout.
 */
import { rmSync } from "node:fs";
import { decodeBytes, flopsOf, phaseCosts } from "../dist/bench/flops.js";
import { readShapes } from "../dist/bench/shapes.js";
import { adapterSizes } from "../dist/config/lora.js";
import { planOf } from "../dist/config/memory-plan.js";
import { readModelSizes } from "../dist/config/model-sizes.js";
import { presetFolder } from "./roofline/preset-folder.mjs";

/** One H100 SXM: a device copy and a bfloat16 product of 8192^3 as they were once seen; links as published. */
const device = {
  bytes_per_second: 3.0e12,
  flops: 798e12,
  memory_bytes: 80e9,
  link_bytes_per_second: { inside: 450e9, between: 50e9 },
};
/** Shares of those limits that are aimed for. */
const assumed = { bandwidth: 0.7, products: 0.65, links: 0.8, context_and_workspace_bytes: 2.5e9 };

const group = { prompt_tokens: 512, image_tokens: 256, grids: [[32, 32]], completion_tokens: 512, num_completions: 8 };
const microbatch_tokens = 16384;
const seconds = (/** @type {number} */ value) => `${value.toPrecision(3)} s`;
const giga = (/** @type {number} */ bytes) => `${(bytes / 1e9).toFixed(1)} GB`;

/** @param {import("../dist/bench/shapes.js").ModelShapes} shapes @param {number} prompts */
function step(shapes, prompts) {
  const groups = Array.from({ length: prompts }, () => ({ ...group }));
  const completions = prompts * group.num_completions;
  const at_once = { patches: 1024, image_tokens: 256, prefill_tokens: 8192, decode_slots: completions };
  const costs = phaseCosts(shapes, /** @type {any} */ (groups), { ...at_once, microbatch_tokens, head: 883 }, false);
  /** @type {Record<string, { limit: number, bound: string, share: number }>} */
  const phases = {};
  for (const [name, cost] of Object.entries(costs)) {
    const computed = flopsOf(cost) / device.flops;
    const read = name === "decode" ? decodeBytes(shapes, /** @type {any} */ (groups), 2) / device.bytes_per_second : 0;
    const bound = read > computed ? "bandwidth" : "products";
    // With activation checkpointing every block runs forward twice.
    const repeated = name === "update" ? 4 / 3 : 1;
    phases[name] = { limit: repeated * Math.max(read, computed), bound, share: /** @type {any} */ (assumed)[bound] };
  }
  const total = Object.values(phases).reduce((sum, { limit, share }) => sum + limit / share, 0);
  return {
    phases,
    total,
    tokens: prompts * (group.prompt_tokens + group.num_completions * group.completion_tokens),
    completions,
  };
}

/** Seconds of transfers in a step, as rings: float32 gradients scattered after each microbatch, stepped bfloat16 weights gathered. */
function ring(/** @type {number} */ parameters, /** @type {number} */ ranks, /** @type {number} */ link) {
  const fed = 32 * (group.prompt_tokens + group.num_completions * (group.completion_tokens - 1));
  const microbatches = Math.ceil(fed / microbatch_tokens);
  const around = (ranks - 1) / ranks;
  return (around * parameters * (4 * microbatches + 2)) / (link * assumed.links);
}

for (const preset of ["qwen2_5_vl_3b", "qwen2_5_vl_7b"]) {
  const folder = presetFolder(preset);
  const shapes = await readShapes(folder);
  const sizes = await readModelSizes(folder);
  console.log(
    `\n${preset}: ${group.prompt_tokens} prompt tokens with one image of 448 x 448, ${group.completion_tokens} new, one device`,
  );
  for (const prompts of [8, 32]) {
    const { phases, total, tokens, completions } = step(shapes, prompts);
    console.log(
      `  ${completions} completions: step ${seconds(total)}, ${Math.round(tokens / total)} tokens/s (prompts once)`,
    );
    for (const [name, { limit, bound, share }] of Object.entries(phases))
      console.log(
        `    ${name.padEnd(10)} limit ${seconds(limit).padStart(8)} by ${bound}, ${seconds(limit / share)} at ${100 * share} %`,
      );
    if (prompts !== 32) continue;
    const parameters = sizes.parameters.language_model;
    for (const [ranks, link, name] of /** @type {const} */ ([
      [8, device.link_bytes_per_second.inside, "inside a host"],
      [64, device.link_bytes_per_second.between, "between hosts"],
    ])) {
      const reduced = ring(parameters, ranks, link);
      const share = total / (total + reduced);
      console.log(
        `    projected to ${ranks} devices, links ${name}: + ${seconds(reduced)} of transfers a step, ${Math.round((100 * share * tokens * ranks) / total / 100)} tokens/s, ${(100 * share).toFixed(0)} % of ${ranks} x one`,
      );
    }
  }
  await plans(preset, folder, sizes);
  rmSync(folder, { recursive: true });
}

/** @param {string} preset @param {string} folder @param {import("../dist/config/model-sizes.js").ModelSizes} sizes */
async function plans(preset, folder, sizes) {
  const lora = { path: null, rank: 64, alpha: 128, targets: "all_linear" };
  const adapter = await adapterSizes(sizes, /** @type {any} */ (lora));
  const variants = preset.endsWith("3b")
    ? [
        ["the language model, one device", undefined, 1, 1],
        ["the same, optimizer and reference offloaded", undefined, 1, 1, true],
      ]
    : [
        ["LoRA of rank 64, one device", adapter, 1, 1],
        ["the language model, one device, optimizer and reference offloaded", undefined, 1, 1, true],
        ["the language model, eight devices", undefined, 8, 1],
        ["the same, parameters sharded", undefined, 8, 8],
      ];
  for (const [name, chosen, shares, pieces, offload] of /** @type {[string, any, number, number, boolean?][]} */ (
    variants
  )) {
    const plan = planOf(sizes, {
      process_bytes: assumed.context_and_workspace_bytes,
      model: {
        path: folder,
        dtype: "bfloat16",
        train_vision_tower: false,
        train_connector: false,
        train_language_model: true,
      },
      adapter: chosen,
      ...{ on_device: true, offload_optimizer: offload, offload_reference: offload },
      ...{
        with_reference: true,
        reference_path: null,
        samples: true,
        scores: true,
        image_cache_bytes: 0,
        pack_weights: false,
      },
      prompts: { tokens: 512, patches: 1024, how: "assumed", num_images: 0, images_per_prompt: 1 },
      ...{ max_completion_tokens: 512, completions_per_prompt: 8, prompts_per_step: 32, completions_per_update: 256 },
      ...{
        max_concurrent_completions: 256,
        kv_block_size: 16,
        tokens_per_microbatch: microbatch_tokens,
        activation_checkpointing: true,
      },
      ...{ optimizer_shares: shares, parameter_shares: pieces },
    });
    const fits = plan.peak_bytes <= device.memory_bytes ? "fits" : "does not fit";
    console.log(
      `  memory, ${name}: peak ${giga(plan.peak_bytes)} in ${plan.peak_phase}, ${fits} ${giga(device.memory_bytes)}; host ${giga(plan.host_bytes)}`,
    );
    for (const part of plan.parts)
      if (part.bytes > 5e8)
        console.log(
          `    ${part.name.padEnd(17)} ${giga(part.bytes).padStart(8)}  ${part.on_host ? "host: " : ""}${part.how}`,
        );
  }
}
