/**
 * What we save, transformers loads: the same tensors bit for bit, none missing, none left over, the same logits. Needs a
 * Python with transformers: `python3`, or the one that SIGHTLOOP_PYTHON names; else every test here is skipped by name.
 */
import { execFile } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Dtype } from "../../src/engine/engine.js";
import { openTestEngine, sampling } from "../helpers/engine.js";
import { addFixtureImages, casePrompts, families, maxAbsDiff } from "../helpers/fixtures.js";

const python = process.env["SIGHTLOOP_PYTHON"] ?? "python3";
const script = join(import.meta.dirname, "load_in_transformers.py");
const run = promisify(execFile);
const environment = { ...process.env, HF_HUB_OFFLINE: "1", TRANSFORMERS_VERBOSITY: "error" };

interface Loaded {
  readonly missing_keys: readonly string[];
  readonly unexpected_keys: readonly string[];
  readonly dtype: string;
  readonly num_tensors: number;
  /** Names of tensors that are not bit for bit those of the file. */
  readonly different: readonly string[];
}

const root = mkdtempSync(join(tmpdir(), "sightloop-transformers-"));
afterAll(() => rmSync(root, { recursive: true }));
let without: string | undefined;
beforeAll(async () => {
  without = await run(python, ["-c", "import transformers, safetensors.torch"], { env: environment }).then(
    () => undefined,
    () => `${python} has no transformers: name one that has by SIGHTLOOP_PYTHON`,
  );
});

describe.each(families().filter(({ name }) => name.startsWith("qwen2")))("$name", (family) => {
  for (const dtype of ["float32", "bfloat16"] as const satisfies Dtype[])
    test(`a trained ${dtype} model loads in transformers`, async (context) => {
      if (without !== undefined) return context.skip(without);
      const folder = join(root, `${family.name}-${dtype}`);
      cpSync(family.checkpoint, folder, { recursive: true });
      const { engine } = await openTestEngine(family.checkpoint, { dtype });
      const images = await addFixtureImages(engine, family.reference.image_names);
      const prompts = casePrompts(family, "batch", images);
      const rollouts = await engine.generate(prompts, 4, sampling());
      const reward = Float32Array.from({ length: rollouts.numRows }, (_, row) => row % 3);
      const reference_scores = await engine.score(rollouts, "reference");
      await engine.update(
        await engine.advantages(rollouts, { reward, breakdown: {} }, { reference: reference_scores }),
      );
      await engine.saveModel(folder);

      const [image] = family.reference.image_names;
      const [row] = await engine.inspect(casePrompts(family, `single/${image}`, images));
      await engine.close();
      const logits = row!.get("logits")!.data;
      const output = join(root, "logits.bin");
      const reference = join(family.folder, "reference.safetensors");
      const { stdout } = await run(python, [script, folder, reference, image!, output], { env: environment });
      const loaded = JSON.parse(stdout) as Loaded;
      expect(loaded).toMatchObject({ missing_keys: [], unexpected_keys: [], dtype: `torch.${dtype}`, different: [] });
      expect(loaded.num_tensors).toBeGreaterThan(50);
      const bytes = new Uint8Array(readFileSync(output));
      const theirs = new Float32Array(bytes.buffer);
      const scale = dtype === "float32" ? 1 : Math.max(...logits.map(Math.abs));
      expect(maxAbsDiff(logits, theirs) / scale).toBeLessThan(dtype === "float32" ? 1e-4 : 0.05);
    }, 600_000); // importing transformers takes minutes on a busy machine
});
