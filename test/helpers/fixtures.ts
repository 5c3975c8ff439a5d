import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promptBatch, type PromptBatch } from "../../src/batches/prompt.js";
import type { Engine } from "../../src/engine/engine.js";
import { decodeImage, readImage } from "../../src/pipeline/data/image.js";
import { SafetensorsFile } from "./safetensors.js";

export const fixturesRoot = process.env["SIGHTLOOP_FIXTURES"] ?? fileURLToPath(new URL("../fixtures", import.meta.url));

export interface Reference {
  readonly image_names: readonly string[];
  readonly cases: Readonly<Record<string, { readonly rows: readonly { readonly images: readonly string[] }[] }>>;
  readonly generate_eos: { readonly eos_token_id: readonly number[]; readonly pad_token_id: number };
  readonly grad_l2_norms: Readonly<Record<string, number | null>>;
  readonly loss: {
    readonly epsilon_low: number;
    readonly epsilon_high: number;
    readonly beta: number;
    readonly steps: readonly {
      loss: number;
      policy_loss: number;
      kl: number;
      clip_fraction: number;
      grad_norm: number;
    }[];
  };
}

export interface Family {
  readonly name: string;
  readonly folder: string;
  readonly checkpoint: string;
  readonly reference: Reference;
  readonly tensors: SafetensorsFile;
}

/** Every model family in the fixtures' folder. */
export function families(): readonly Family[] {
  if (!existsSync(fixturesRoot)) throw new Error(`SIGHTLOOP_FIXTURES: ${fixturesRoot} does not exist`);
  return readdirSync(fixturesRoot)
    .sort()
    .map((name) => join(fixturesRoot, name))
    .filter((folder) => existsSync(join(folder, "reference.safetensors")))
    .map((folder) => ({
      name: folder.slice(fixturesRoot.length + 1),
      folder,
      checkpoint: join(folder, "checkpoint"),
      reference: JSON.parse(readFileSync(join(folder, "reference.json"), "utf8")) as Reference,
      tensors: new SafetensorsFile(join(folder, "reference.safetensors")),
    }));
}

/** The one file of weights, or the shards. */
export const weightFiles = (folder: string): readonly string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".safetensors"))
    .map((name) => join(folder, name));

type Decoded = Awaited<ReturnType<typeof decodeImage>>;
const decoded = new Map<string, Promise<Decoded>>();

function fixtureImage(name: string): Promise<Decoded> {
  const known = decoded.get(name);
  if (known !== undefined) return known;
  const decoding = readImage({ path: join(fixturesRoot, "images", name) }, name).then((file) => decodeImage(file));
  decoded.set(name, decoding);
  return decoding;
}

/** Image ids (hashes) by file name, all added to the engine. */
export async function addFixtureImages(engine: Engine, names: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const ids = new Map<string, string>();
  for (const name of names) {
    const image = await fixtureImage(name);
    await engine.addImages([image]);
    ids.set(name, image.id);
  }
  return ids;
}

/** The prompts of one reference case, padding removed. */
export function casePrompts(family: Family, name: string, imageIds: ReadonlyMap<string, string>): PromptBatch {
  const ids = family.tensors.numbers(`${name}/input_ids`);
  const mask = family.tensors.numbers(`${name}/attention_mask`);
  const [rows, width] = family.tensors.get(`${name}/input_ids`).shape as [number, number];
  return promptBatch(
    Array.from({ length: rows }, (_, row) => ({
      prompt_id: row,
      sample_id: `${name}/${row}`,
      token_ids: Int32Array.from(
        ids.slice(row * width, (row + 1) * width).filter((_, i) => mask[row * width + i] === 1),
      ),
      image_ids: family.reference.cases[name]!.rows[row]!.images.map((image) => imageIds.get(image)!),
    })),
  );
}

export function maxAbsDiff(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= worst)) worst = difference; // NaN counts
  }
  return worst;
}
