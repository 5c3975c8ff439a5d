import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Family, weightFiles } from "./fixtures.js";
import { SafetensorsFile } from "./safetensors.js";

/** How a checkpoint's files may look; all of them are the same model, but for the rounding of `dtype`. */
export interface Layout {
  readonly config: "flat" | "nested";
  readonly names: "published" | "nested";
  readonly files: "single" | "sharded";
  readonly dtype: "F32" | "BF16" | "F16";
  /** tied: the embeddings alone; tied_and_stored: the head, too, though config.json ties it; untied: both, not tied. */
  readonly head: "tied" | "tied_and_stored" | "untied";
}

type Weights = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

/** Round to nearest, ties to even. */
function bfloat16(x: number): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer)[0]!;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** The nearest value that bfloat16 has. */
export const toBfloat16 = (x: number): number => new Float32Array(Uint32Array.of(bfloat16(x) << 16).buffer)[0]!;

/** Finite values below 65,504. */
function float16(x: number): number {
  const magnitude = Math.abs(x);
  const exponent = magnitude === 0 ? -14 : Math.max(-14, Math.floor(Math.log2(magnitude)));
  const steps = Math.round(magnitude / 2 ** (exponent - 10)); // 1024 to 2048; fewer where the format is subnormal
  return (x < 0 ? 0x8000 : 0) | (((exponent + 14) << 10) + steps);
}

const encodings = {
  F32: (data: Float32Array) => Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  BF16: (data: Float32Array) => Buffer.from(Uint16Array.from(data, bfloat16).buffer),
  F16: (data: Float32Array) => Buffer.from(Uint16Array.from(data, float16).buffer),
};

export function writeSafetensors(path: string, weights: Weights, dtype: Layout["dtype"]): void {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  const parts: Buffer[] = [];
  let end = 0;
  for (const [name, { shape, data }] of weights) {
    const bytes = encodings[dtype](data);
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
    parts.push(bytes);
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(path, Buffer.concat([length, text, ...parts]));
}

const nestedName = (name: string): string =>
  name.replace(/^model\./, "model.language_model.").replace(/^visual\./, "model.visual.");

/** All tensors of a folder, by the names they are stored under. */
export function readWeights(folder: string): Map<string, { shape: readonly number[]; data: Float32Array }> {
  const files = weightFiles(folder).map((path) => new SafetensorsFile(path));
  return new Map(
    files.flatMap((file) =>
      file.names.map((name) => [name, file.get(name) as { shape: number[]; data: Float32Array }] as const),
    ),
  );
}

/** Writes a family's checkpoint into `folder` in another layout. */
export function rewriteCheckpoint(family: Family, folder: string, layout: Layout): void {
  cpSync(family.checkpoint, folder, { recursive: true });
  for (const file of weightFiles(folder)) rmSync(file);
  rmSync(join(folder, "model.safetensors.index.json"), { force: true });
  if (layout.config === "flat")
    copyFileSync(join(family.folder, "config_hub_layout.json"), join(folder, "config.json"));
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8")) as Record<string, unknown>;
  const tie_word_embeddings = layout.head !== "untied";
  const text = config["text_config"] as object | undefined;
  const tied = { ...config, tie_word_embeddings, ...(text && { text_config: { ...text, tie_word_embeddings } }) };
  writeFileSync(join(folder, "config.json"), JSON.stringify(tied));

  const weights = readWeights(family.checkpoint);
  if (layout.head !== "tied" && !weights.has("lm_head.weight"))
    weights.set("lm_head.weight", weights.get("model.embed_tokens.weight")!);
  const named = [...weights].map(
    ([name, tensor]) => [layout.names === "nested" ? nestedName(name) : name, tensor] as const,
  );
  if (layout.files === "single") {
    writeSafetensors(join(folder, "model.safetensors"), new Map(named), layout.dtype);
    return;
  }
  const shards = [0, 1, 2].map((shard) => named.filter((_, i) => i % 3 === shard));
  const weight_map: Record<string, string> = {};
  shards.forEach((shard, i) => {
    const name = `model-0000${i + 1}-of-00003.safetensors`;
    writeSafetensors(join(folder, name), new Map(shard), layout.dtype);
    for (const [tensor] of shard) weight_map[tensor] = name;
  });
  writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map }));
}

/** Whether the family's own checkpoint shares embeddings and head. */
export const isTied = (family: Family): boolean => !readWeights(family.checkpoint).has("lm_head.weight");

/** An empty folder inside `root`, made anew. */
export function freshFolder(root: string, name: string): string {
  const folder = join(root, name);
  if (existsSync(folder)) rmSync(folder, { recursive: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}
