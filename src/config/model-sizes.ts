import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.js";

/** What a memory plan needs to know of a model folder: nothing is loaded. */
export interface ModelSizes {
  readonly parameters: Readonly<Record<"vision_tower" | "connector" | "language_model", number>>;
  /** Bytes of the weight files. */
  readonly file_bytes: number;
  readonly language: BlockSizes & { readonly vocabulary: number };
  /** Undefined where config.json describes no tower of a known layout. */
  readonly vision: (BlockSizes & VisionSizes) | undefined;
}

export interface VisionSizes {
  /** Values of one patch as the tower reads it. */
  readonly patch_elements: number;
  /** Bytes of its RGB pixels. */
  readonly pixel_bytes: number;
  /** Patches that become one image token. */
  readonly merged_patches: number;
}

export interface BlockSizes {
  readonly blocks: number;
  readonly width: number;
  /** Key/value heads x head width. */
  readonly kv_width: number;
  readonly heads: number;
  readonly intermediate: number;
}

const size = z.int().positive();
/** Sizes of the language model, in either layout of config.json (flat, or under text_config). */
const languageSchema = z.object({
  hidden_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size,
  head_dim: size.optional(),
  intermediate_size: size,
  vocab_size: size,
});
const towerSchema = z.object({
  depth: size,
  num_heads: size,
  patch_size: size,
  temporal_patch_size: size.default(2),
  spatial_merge_size: size.default(2),
});
/** Qwen2.5-VL's and Qwen2-VL's names for the tower's own sizes. */
const visionSchema = z.union([
  towerSchema
    .extend({ embed_dim: size, mlp_ratio: z.number().positive() })
    .transform(({ embed_dim, mlp_ratio, ...tower }) => ({
      ...tower,
      ...{ hidden_size: embed_dim, intermediate_size: embed_dim * mlp_ratio },
    })),
  towerSchema.extend({ hidden_size: size, intermediate_size: size }),
]);

export async function readModelSizes(folder: string): Promise<ModelSizes> {
  const { language, vision } = await readConfig(folder);
  const head_width = language.head_dim ?? language.hidden_size / language.num_attention_heads;
  return {
    ...(await countParameters(folder)),
    language: {
      ...{ blocks: language.num_hidden_layers, width: language.hidden_size, heads: language.num_attention_heads },
      ...{ kv_width: language.num_key_value_heads * head_width, intermediate: language.intermediate_size },
      vocabulary: language.vocab_size,
    },
    vision: vision && {
      ...{ blocks: vision.depth, width: vision.hidden_size, kv_width: vision.hidden_size, heads: vision.num_heads },
      intermediate: vision.intermediate_size,
      patch_elements: 3 * vision.temporal_patch_size * vision.patch_size ** 2,
      pixel_bytes: 3 * vision.patch_size ** 2,
      merged_patches: vision.spatial_merge_size ** 2,
    },
  };
}

async function readConfig(
  folder: string,
): Promise<{ language: z.infer<typeof languageSchema>; vision: z.infer<typeof visionSchema> | undefined }> {
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
  const object = parsed as { text_config?: unknown; vision_config?: unknown };
  const language = languageSchema.safeParse(object.text_config ?? object);
  if (language.success) return { language: language.data, vision: visionSchema.safeParse(object.vision_config).data };
  const key = language.error.issues[0]!.path.join(".");
  throw new UserError(
    "CHECKPOINT_INVALID",
    `${file}: ${key} is missing or not a positive number`,
    "Copy the model again.",
  );
}

async function countParameters(folder: string): Promise<Pick<ModelSizes, "parameters" | "file_bytes">> {
  const parameters = { vision_tower: 0, connector: 0, language_model: 0 };
  const { shapes, file_bytes } = await readTensorShapes(folder);
  for (const [tensor, shape] of shapes) {
    const part = /\bvisual\.merger\./.test(tensor)
      ? "connector"
      : /\bvisual\./.test(tensor)
        ? "vision_tower"
        : "language_model";
    parameters[part] += shape.reduce((product, length) => product * length, 1);
  }
  return { parameters, file_bytes };
}

/** Names and shapes as the checkpoint has them. */
export type TensorShapes = readonly (readonly [tensor: string, shape: readonly number[]])[];

/** Every tensor of a model folder, from the headers of its safetensors files; and the files' size. */
export async function readTensorShapes(folder: string): Promise<{ shapes: TensorShapes; file_bytes: number }> {
  const files = (await readdir(folder)).filter((name) => name.endsWith(".safetensors"));
  if (files.length === 0)
    throw new UserError("CHECKPOINT_INVALID", `${folder} holds no *.safetensors file`, "Copy the model again.");
  const headers = await Promise.all(files.map((name) => readHeader(join(folder, name))));
  return {
    shapes: headers.flatMap((header) => header.shapes),
    file_bytes: headers.reduce((sum, header) => sum + header.bytes, 0),
  };
}

/** Header of a safetensors file: 8 bytes of length (little endian), then JSON { name: { shape, ... } }. */
async function readHeader(file: string): Promise<{ shapes: [string, number[]][]; bytes: number }> {
  const handle = await open(file, "r");
  try {
    const { size: bytes } = await handle.stat();
    const prefix = Buffer.alloc(8);
    await handle.read(prefix, 0, 8, 0);
    const length = Number(prefix.readBigUInt64LE());
    if (bytes < 8 || length > bytes - 8) throw new Error("the header is longer than the file");
    const header = Buffer.alloc(length);
    await handle.read(header, 0, length, 8);
    const parsed = JSON.parse(header.toString("utf8")) as Record<string, { shape: number[] }>;
    const tensors = Object.entries(parsed).filter(([tensor]) => tensor !== "__metadata__");
    return { shapes: tensors.map(([tensor, { shape }]) => [tensor, shape]), bytes };
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
