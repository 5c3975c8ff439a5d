import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.js";

/** Bytes that a run will need, from the model's files alone: nothing is loaded. */
export interface MemoryPlan {
  readonly num_parameters: number;
  readonly num_trainable_parameters: number;
  readonly parts: readonly MemoryPart[];
}

export interface MemoryPart {
  readonly name: string;
  readonly bytes: number;
  readonly how: string;
}

export interface MemoryQuestion {
  readonly model: {
    readonly path: string;
    readonly dtype: "float32" | "bfloat16";
    readonly train_vision_tower: boolean;
    readonly train_connector: boolean;
    readonly train_language_model: boolean;
  };
  readonly with_reference: boolean;
  /** null: a frozen copy of the policy, which shares what is not trained. */
  readonly reference_path: string | null;
  readonly max_prompt_tokens: number;
  readonly max_completion_tokens: number;
  readonly completions_per_prompt: number;
  readonly max_concurrent_completions: number;
  readonly tokens_per_microbatch: number;
  readonly image_cache_bytes: number;
}

/** Sizes of the language model, in either layout of config.json (flat, or under text_config). */
const languageSizes = z.object({
  hidden_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.int().positive(),
  head_dim: z.int().positive().optional(),
  intermediate_size: z.int().positive(),
});

const float32_bytes = 4;
const dtype_bytes = { float32: 4, bfloat16: 2 };

export async function memoryPlan(question: MemoryQuestion): Promise<MemoryPlan> {
  const { model } = question;
  const width = dtype_bytes[model.dtype];
  const sizes = await readSizes(model.path);
  const counts = await countParameters(model.path);
  const total = counts.vision_tower + counts.connector + counts.language_model;
  const trainable =
    (model.train_vision_tower ? counts.vision_tower : 0) +
    (model.train_connector ? counts.connector : 0) +
    (model.train_language_model ? counts.language_model : 0);
  const reference = !question.with_reference ? 0 : question.reference_path === null ? trainable : total;

  const head = sizes.head_dim ?? sizes.hidden_size / sizes.num_attention_heads;
  const kv_bytes_per_token = 2 * sizes.num_hidden_layers * sizes.num_key_value_heads * head * width;
  const prompts = Math.ceil(question.max_concurrent_completions / question.completions_per_prompt);
  const kv_tokens =
    prompts * question.max_prompt_tokens + question.max_concurrent_completions * question.max_completion_tokens;
  // Kept for backward in one layer: two norms, q, k, v, attention output, its projection, gate, up, product, two residuals.
  const values_per_token = sizes.num_hidden_layers * (9 * sizes.hidden_size + 3 * sizes.intermediate_size);

  return {
    num_parameters: total,
    num_trainable_parameters: trainable,
    parts: [
      { name: "weights", bytes: total * width, how: `${total} parameters x ${width} B` },
      {
        name: "gradients",
        bytes: trainable * (model.dtype === "float32" ? float32_bytes : float32_bytes + width),
        how:
          model.dtype === "float32"
            ? `${trainable} trainable parameters x 4 B`
            : `${trainable} trainable parameters x (4 B summed + ${width} B of one microbatch)`,
      },
      { name: "moments", bytes: 2 * trainable * float32_bytes, how: `${trainable} trainable parameters x 2 x 4 B` },
      {
        name: "masters",
        bytes: model.dtype === "float32" ? 0 : trainable * float32_bytes,
        how:
          model.dtype === "float32"
            ? "the float32 weights themselves"
            : `${trainable} trainable parameters x 4 B, from the first update on`,
      },
      {
        name: "reference",
        bytes: reference * width,
        how: question.with_reference
          ? `${reference} parameters x ${width} B${reference < total ? "; the others are shared with the policy" : ""}`
          : "no KL coefficient above 0",
      },
      {
        name: "kv cache",
        bytes: kv_tokens * kv_bytes_per_token,
        how: `at most: ${prompts} prompts x ${question.max_prompt_tokens} + ${question.max_concurrent_completions} completions x ${question.max_completion_tokens} tokens, ${kv_bytes_per_token} B each`,
      },
      {
        name: "activations",
        bytes: question.tokens_per_microbatch * values_per_token * width,
        how: `estimate: ${question.tokens_per_microbatch} tokens x ${values_per_token} values x ${width} B`,
      },
      { name: "image cache", bytes: question.image_cache_bytes, how: "at most: image_cache_bytes" },
    ],
  };
}

async function readSizes(folder: string): Promise<z.infer<typeof languageSizes>> {
  const file = join(folder, "config.json");
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new UserError(
      "FILE_NOT_FOUND",
      `${file} cannot be read`,
      "model.path must be a folder in the Hugging Face layout; `sightloop init` makes one.",
      { cause },
    );
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new UserError("CHECKPOINT_INVALID", `${file} is not valid JSON`, "Copy the model again.", { cause });
  }
  const object = parsed as { text_config?: unknown };
  const sizes = languageSizes.safeParse(object.text_config ?? object);
  if (sizes.success) return sizes.data;
  const key = sizes.error.issues[0]!.path.join(".");
  throw new UserError(
    "CHECKPOINT_INVALID",
    `${file}: ${key} is missing or not a positive number`,
    "Copy the model again.",
  );
}

/** Parameters by part, from the headers of the safetensors files. */
async function countParameters(
  folder: string,
): Promise<Record<"vision_tower" | "connector" | "language_model", number>> {
  const counts = { vision_tower: 0, connector: 0, language_model: 0 };
  const files = (await readdir(folder)).filter((name) => name.endsWith(".safetensors"));
  if (files.length === 0)
    throw new UserError("CHECKPOINT_INVALID", `${folder} holds no *.safetensors file`, "Copy the model again.");
  for (const name of files)
    for (const [tensor, shape] of await readShapes(join(folder, name))) {
      const part = /\bvisual\.merger\./.test(tensor)
        ? "connector"
        : /\bvisual\./.test(tensor)
          ? "vision_tower"
          : "language_model";
      counts[part] += shape.reduce((product, length) => product * length, 1);
    }
  return counts;
}

/** Header of a safetensors file: 8 bytes of length (little endian), then JSON { name: { shape, ... } }. */
async function readShapes(file: string): Promise<[string, number[]][]> {
  const handle = await open(file, "r");
  try {
    const { size } = await handle.stat();
    const prefix = Buffer.alloc(8);
    await handle.read(prefix, 0, 8, 0);
    const length = Number(prefix.readBigUInt64LE());
    if (size < 8 || length > size - 8) throw new Error("the header is longer than the file");
    const header = Buffer.alloc(length);
    await handle.read(header, 0, length, 8);
    const parsed = JSON.parse(header.toString("utf8")) as Record<string, { shape: number[] }>;
    return Object.entries(parsed)
      .filter(([tensor]) => tensor !== "__metadata__")
      .map(([tensor, { shape }]) => [tensor, shape]);
  } catch (cause) {
    throw new UserError(
      "CHECKPOINT_INVALID",
      `${file} is truncated or not a safetensors file: ${(cause as Error).message}`,
      "Copy the model again.",
      { cause },
    );
  } finally {
    await handle.close();
  }
}
