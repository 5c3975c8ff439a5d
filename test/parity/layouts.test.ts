/** Every way in which a checkpoint's files are published or saved by other tools loads to the same model. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.js";
import {
  freshFolder,
  isTied,
  type Layout,
  readWeights,
  rewriteCheckpoint,
  writeSafetensors,
} from "../helpers/checkpoints.js";
import { openTestEngine } from "../helpers/engine.js";
import { addFixtureImages, casePrompts, families, type Family, maxAbsDiff } from "../helpers/fixtures.js";

const small = { with_reference: false, threads: 1 };
const root = mkdtempSync(join(tmpdir(), "sightloop-layouts-"));
afterAll(() => rmSync(root, { recursive: true }));

/** Logits of case "multi" of a model folder. */
async function logitsOf(family: Family, folder: string): Promise<Float32Array> {
  const { engine } = await openTestEngine(folder, small);
  try {
    const shown = family.reference.cases["multi"]!.rows.flatMap((row) => row.images);
    const images = await addFixtureImages(engine, [...new Set(shown)]);
    const [row] = await engine.inspect(casePrompts(family, "multi", images));
    return row!.get("logits")!.data;
  } finally {
    await engine.close();
  }
}

const plain: Layout = { config: "nested", names: "published", files: "single", dtype: "F32", head: "tied" };

function layoutsOf(family: Family): Layout[] {
  const heads = isTied(family) ? (["tied", "tied_and_stored", "untied"] as const) : (["untied"] as const);
  return (["nested", "flat"] as const).flatMap((config) =>
    (["published", "nested"] as const).flatMap((names) =>
      (["single", "sharded"] as const).flatMap((files) =>
        (["F32", "BF16", "F16"] as const).flatMap((dtype) =>
          heads.map((head) => ({ config, names, files, dtype, head })),
        ),
      ),
    ),
  );
}

for (const family of families())
  describe(family.name, () => {
    const expected = new Map<string, Float32Array>();
    const baseline = async (dtype: Layout["dtype"]): Promise<Float32Array> => {
      const held = expected.get(dtype);
      if (held !== undefined) return held;
      const folder = freshFolder(root, `${family.name}-${dtype}`);
      rewriteCheckpoint(family, folder, { ...plain, dtype, head: isTied(family) ? "tied" : "untied" });
      const logits = await logitsOf(family, folder);
      expected.set(dtype, logits);
      return logits;
    };

    test("every layout gives the logits of the plain one, bit for bit; the file's dtype rounds them", async (context) => {
      try {
        await baseline("F32");
      } catch (error) {
        if (error instanceof UserError && error.code === "MODEL_UNSUPPORTED")
          return context.skip(`${family.name}: model type not supported yet`);
        throw error;
      }
      const scale = (await baseline("F32")).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      for (const dtype of ["BF16", "F16"] as const) {
        const difference = maxAbsDiff(await baseline(dtype), await baseline("F32")) / scale;
        expect(difference, dtype).toBeGreaterThan(0);
        expect(difference, dtype).toBeLessThan(0.03);
      }
      const layouts = layoutsOf(family);
      expect(layouts.length).toBeGreaterThanOrEqual(24);
      for (const layout of layouts) {
        const folder = freshFolder(root, family.name);
        rewriteCheckpoint(family, folder, layout);
        const difference = maxAbsDiff(await logitsOf(family, folder), await baseline(layout.dtype));
        expect(difference, JSON.stringify(layout)).toBe(0);
      }
    });
  });

describe("files that contradict each other are refused by name", () => {
  const family = families().find(({ name }) => name === "qwen2_5_vl")!;
  const layout: Layout = { ...plain, files: "sharded", head: "untied" };
  const index = (folder: string) => join(folder, "model.safetensors.index.json");
  const editIndex = (folder: string, edit: (weight_map: Record<string, string>) => void) => {
    const json = JSON.parse(readFileSync(index(folder), "utf8")) as { weight_map: Record<string, string> };
    edit(json.weight_map);
    writeFileSync(index(folder), JSON.stringify(json));
  };
  test.each<[string, (folder: string) => void, RegExp]>([
    [
      "a tensor that its shard lacks",
      (folder) => editIndex(folder, (map) => (map["model.norm.weight"] = map["lm_head.weight"]!)),
      /lacks tensor "model\.norm\.weight", which model\.safetensors\.index\.json places there/,
    ],
    [
      "a tensor that no shard holds",
      (folder) => editIndex(folder, (map) => (map["model.extra.weight"] = map["lm_head.weight"]!)),
      /lacks tensor "model\.extra\.weight"/,
    ],
    [
      "a shard that is not there",
      (folder) => rmSync(join(folder, "model-00002-of-00003.safetensors")),
      /model-00002-of-00003\.safetensors: is missing, but model\.safetensors\.index\.json names it/,
    ],
    [
      "a tensor in two shards",
      (folder) =>
        writeFileSync(
          join(folder, "model-00002-of-00003.safetensors"),
          readFileSync(join(folder, "model-00001-of-00003.safetensors")),
        ),
      /tensor "[^"]+" is in two shards, model-00001-of-00003\.safetensors and model-00002-of-00003\.safetensors/,
    ],
    [
      "an index that is cut off",
      (folder) => writeFileSync(index(folder), readFileSync(index(folder), "utf8").slice(0, 100)),
      /has no "weight_map"/,
    ],
    [
      "a path instead of a shard's name",
      (folder) => editIndex(folder, (map) => (map["model.norm.weight"] = "../x.safetensors")),
      /the entry of "model\.norm\.weight" is not a file name/,
    ],
  ])("%s", async (_, damage, message) => {
    const folder = freshFolder(root, "damaged");
    rewriteCheckpoint(family, folder, layout);
    damage(folder);
    const opening = openTestEngine(folder, small);
    await expect(opening).rejects.toMatchObject({
      code: "CHECKPOINT_INVALID",
      message: expect.stringMatching(message) as string,
    });
  });

  test("the same tensor under its old and its new name", async () => {
    const folder = freshFolder(root, "damaged");
    rewriteCheckpoint(family, folder, { ...layout, files: "single" });
    const weights = readWeights(folder);
    weights.set("model.language_model.norm.weight", weights.get("model.norm.weight")!);
    writeSafetensors(join(folder, "model.safetensors"), weights, "F32");
    await expect(openTestEngine(folder, small)).rejects.toThrow(
      /"model\.language_model\.norm\.weight" and "model\.norm\.weight" are the same one under two names/,
    );
  });
});
