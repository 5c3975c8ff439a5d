import { float32_bytes, value_bytes } from "./activation-memory.js";
import { microbatches } from "./memory-passes.js";
import { type MemoryPart, type MemoryQuestion, plan_phases } from "./memory-plan.js";
import type { ModelSizes } from "./model-sizes.js";

/** Numbers of parameters. An adapter is float32 whatever the model is, and trained in place of the language model. */
export interface Counts {
  /** Of the checkpoint. */
  readonly total: number;
  /** Of the checkpoint's, those that are trained. */
  readonly trained: number;
  readonly adapter: number;
}

export function countsOf(sizes: ModelSizes, { model, adapter }: MemoryQuestion): Counts {
  const { vision_tower, connector, language_model } = sizes.parameters;
  return {
    total: vision_tower + connector + language_model,
    trained:
      (model.train_vision_tower ? vision_tower : 0) +
      (model.train_connector ? connector : 0) +
      (model.train_language_model && adapter === undefined ? language_model : 0),
    adapter: adapter?.parameters ?? 0,
  };
}

export function weightParts(sizes: ModelSizes, question: MemoryQuestion, counts: Counts): readonly MemoryPart[] {
  const { model, with_reference, reference_path, optimizer_shares: shares } = question;
  const shared = shares === 1 ? "" : `, over ${shares} ranks`;
  const { total, trained, adapter } = counts;
  const narrow = model.dtype !== "float32";
  const trainable = trained + adapter;
  const reference = !with_reference ? 0 : reference_path === null ? trained : total;
  const loaded = with_reference && reference_path === null && question.adapter?.loaded === true ? adapter : 0;
  const always = plan_phases;
  const stepped = question.offload_optimizer === true ? offloaded : {};
  return [
    ...weights(sizes, question, counts),
    {
      ...{ name: "moments", bytes: (2 * trainable * float32_bytes) / shares, held_in: always, ...stepped },
      how: `${trainable} trainable parameters x 2 x 4 B${shared}, from the first update on`,
    },
    {
      ...{ name: "masters", bytes: narrow ? (trained * float32_bytes) / shares : 0, held_in: always, ...stepped },
      how:
        narrow && trained > 0
          ? `${trained} trainable parameters x 4 B${shared}, from the first update on`
          : "the float32 weights themselves",
    },
    ...referenceParts(question, { copied: reference, loaded, total }),
    {
      ...{ name: "gradients", ...gradients(sizes, question, counts) },
      // One microbatch's gradients take the place of its activations.
      held_in: microbatches(question).count > 1 ? ["update", "optimizer_step"] : ["optimizer_step"],
    },
  ];
}

/** Blocks whose weights are whole at once: the one that computes, and the next one on its way and as it arrives. */
const whole_blocks = 3;

function weights(sizes: ModelSizes, question: MemoryQuestion, { total, adapter }: Counts): readonly MemoryPart[] {
  const bytes = value_bytes[question.model.dtype];
  const of_adapter = adapter === 0 ? "" : `, ${adapter} of the adapter x 4 B`;
  const all = { name: "weights", how: `${total} parameters x ${bytes} B${of_adapter}` };
  const all_bytes = total * bytes + adapter * float32_bytes;
  const shares = question.parameter_shares;
  if (shares === 1) return [{ ...all, bytes: all_bytes, held_in: plan_phases }];
  const blocks = blockParameters(sizes);
  const held = blocks / shares + (whole_blocks * blocks) / sizes.language.blocks;
  return [
    { ...all, bytes: all_bytes, held_in: ["rollout", "score"] },
    {
      ...{ name: "weights in pieces", held_in: ["update", "optimizer_step"] },
      bytes: Math.min(all_bytes, all_bytes - (blocks - held) * bytes),
      how: `${blocks} parameters of the decoder's blocks over ${shares} ranks, ${whole_blocks} blocks whole; the others as before`,
    },
  ];
}

/** Of the decoder's products, which is nearly all of them. */
function blockParameters({ language }: ModelSizes): number {
  const { blocks, width, kv_width, intermediate } = language;
  return blocks * width * (2 * width + 2 * kv_width + 3 * intermediate);
}

/** Gradients under way at once, elements (GradientReducer, `reduce_bucket_elements`). */
const under_way = 2 * 2 ** 23;

const offloaded = { on_host: true } as const;

/** Pinned memory comes in blocks (native/core/pinned_memory.cpp), whose ends stay empty: assumed 85 % full. */
const inBlocks = (bytes: number): number => Math.ceil(bytes / (0.85 * 2 ** 30)) * 2 ** 30;

/** `copied` parameters that it does not share with the policy, and a loaded adapter's. */
function referenceParts(
  { model, with_reference, offload_reference }: MemoryQuestion,
  { copied, loaded, total }: Readonly<Record<"copied" | "loaded" | "total", number>>,
): readonly MemoryPart[] {
  const bytes = value_bytes[model.dtype];
  const shared = copied < total ? "; the others are shared with the policy" : "";
  const of_adapter = loaded === 0 ? "" : `, ${loaded} of the loaded adapter x 4 B`;
  const how = with_reference ? `${copied} parameters x ${bytes} B${of_adapter}${shared}` : "no KL coefficient above 0";
  const all = copied * bytes + loaded * float32_bytes;
  if (offload_reference !== true) return [{ name: "reference", bytes: all, held_in: plan_phases, how }];
  return [
    { name: "reference", bytes: all, held_in: ["score"], how: `${how}; on the device while it scores` },
    { name: "reference at rest", bytes: inBlocks(copied * bytes), held_in: plan_phases, ...offloaded, how },
  ];
}

/**
 * A narrower model's are summed in float32 as they come. Where ranks share them, each holds its piece of the sums; of whole ones no more
 * than what is under way, or the largest parameter alone.
 */
function gradients({ language }: ModelSizes, { model, optimizer_shares: shares }: MemoryQuestion, counts: Counts) {
  const { trained, adapter } = counts;
  const trainable = trained + adapter;
  if (shares === 1 || model.dtype === "float32" || trained === 0)
    return { bytes: trainable * float32_bytes, how: `${trainable} trainable parameters x 4 B` };
  const bytes = value_bytes[model.dtype] + float32_bytes;
  const whole = Math.min(trained, Math.max(under_way, language.vocabulary * language.width));
  return {
    bytes: adapter * float32_bytes + whole * bytes + (trainable * float32_bytes) / shares,
    how: `${trainable} trainable parameters x 4 B summed, over ${shares} ranks; ${whole} on their way x ${bytes} B`,
  };
}
