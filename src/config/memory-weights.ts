import { value_bytes } from "./activation-memory.js";
import { microbatches } from "./memory-passes.js";
import { type MemoryPart, type MemoryQuestion, plan_phases } from "./memory-plan.js";
import type { ModelSizes } from "./model-sizes.js";

const float32_bytes = 4;

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

export function weightParts(question: MemoryQuestion, counts: Counts): readonly MemoryPart[] {
  const { model, with_reference, reference_path, optimizer_shares: shares } = question;
  const shared = shares === 1 ? "" : `, over ${shares} ranks`;
  const { total, trained, adapter } = counts;
  const bytes = value_bytes[model.dtype];
  const narrow = model.dtype !== "float32";
  const trainable = trained + adapter;
  const reference = !with_reference ? 0 : reference_path === null ? trained : total;
  const loaded = with_reference && reference_path === null && question.adapter?.loaded === true ? adapter : 0;
  const always = plan_phases;
  const stepped = question.offload_optimizer === true ? offloaded : {};
  return [
    {
      ...{ name: "weights", bytes: total * bytes + adapter * float32_bytes, held_in: always },
      how: `${total} parameters x ${bytes} B${adapter === 0 ? "" : `, ${adapter} of the adapter x 4 B`}`,
    },
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
      ...{ name: "gradients", ...gradients(question, counts) },
      // One microbatch's gradients take the place of its activations.
      held_in: microbatches(question).count > 1 ? ["update", "optimizer_step"] : ["optimizer_step"],
    },
  ];
}

const offloaded = { on_host: true } as const;

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
    { name: "reference at rest", bytes: copied * bytes, held_in: plan_phases, ...offloaded, how },
  ];
}

/**
 * A narrower model's are summed in float32 as they come; where ranks share them, each holds its piece of the sums, and whole
 * ones of one microbatch.
 */
function gradients({ model, optimizer_shares: shares }: MemoryQuestion, { trained, adapter }: Counts) {
  const trainable = trained + adapter;
  if (shares === 1 || model.dtype === "float32" || trained === 0)
    return { bytes: trainable * float32_bytes, how: `${trainable} trainable parameters x 4 B` };
  const bytes = value_bytes[model.dtype];
  return {
    bytes: trained * bytes + adapter * float32_bytes + (trainable * float32_bytes) / shares,
    how: `${trainable} trainable parameters x (${bytes} B of one microbatch + 4 B summed, over ${shares} ranks)`,
  };
}
