import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { numerics } from "../../../src/engine/numerics.js";
import { numericsNote } from "../../../src/reports/numerics-change.js";
import { openRunFolder } from "../../../src/reports/run-folder.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sightloop-numerics-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const here = { libtorch: "2.13.0", threads: 2, instruction_set: "avx512", products: "onednn" };
const manifest = (changes: object = {}, cpu = "EPYC") => ({ numerics: { ...here, ...changes }, machine: { cpu } });
const keep = (name: string, value: unknown) =>
  writeFile(join(folder, name), typeof value === "string" ? value : JSON.stringify(value));

test("the same numerics: nothing to say", async () => {
  await keep("manifest.json", manifest());
  expect(await numericsNote(folder, 3, manifest())).toBeUndefined();
});

test.each([
  ["threads", manifest({ threads: 1 }), "threads 2 -> 1"],
  ["libtorch", manifest({ libtorch: "2.14.0" }), "libtorch 2.13.0 -> 2.14.0"],
  ["instruction set", manifest({ instruction_set: "avx2" }), "instruction_set avx512 -> avx2"],
  ["products", manifest({ products: "libtorch" }), "products onednn -> libtorch"],
  ["processor", manifest({}, "Xeon"), "cpu EPYC -> Xeon"],
  ["ranks", manifest({ ranks: 2 }), "ranks 1 -> 2"],
  ["a fact that was not recorded then", manifest({ blas: "mkl" }), "blas (unknown) -> mkl"],
])("other numerics are named: %s", async (_, now, change) => {
  await keep("manifest.json", manifest());
  const note = await numericsNote(folder, 3, now);
  expect(note).toContain(`resumed on other numerics: ${change}.`);
  expect(note).toContain("docs/determinism.md");
});

test("compared with the process that wrote the checkpoint, not with one that began at it or after it", async () => {
  await keep("manifest.json", manifest());
  await keep("manifest-resumed-4.json", manifest({ threads: 8 }));
  await keep("manifest-resumed-10.json", manifest({ threads: 16 }));
  expect(await numericsNote(folder, 10, manifest({ threads: 8 }))).toBeUndefined();
  expect(await numericsNote(folder, 10, manifest())).toContain("threads 8 -> 2");
  expect(await numericsNote(folder, 4, manifest())).toBeUndefined();
});

test.each([
  ["missing", undefined],
  ["of an older version", { seed: 1 }],
  ["damaged", '{"numerics": {"thr'],
  ["not an object", "[]"],
  ["null", "null"],
])("a manifest that is %s is no obstacle: the note says that it cannot be known", async (_, value) => {
  if (value !== undefined) await keep("manifest.json", value);
  expect(await numericsNote(folder, 3, manifest())).toContain("manifest.json does not say");
});

test("a resumed run folder hands the note to the loop", async () => {
  const open = (resume: boolean, threads: number) =>
    openRunFolder({
      folder: join(folder, "run"),
      config: {},
      manifest: manifest({ threads }),
      resume,
      keep: { last: 2, best: 0 },
    });
  {
    await using fresh = await open(false, 2);
    expect(fresh.notes).toEqual([]);
    await fresh.step({ step: 1, metrics: {} });
    await fresh.checkpoint(
      { step: 1, data: null, evaluated: true, score: null },
      {
        bytes: async () => 10,
        fill: async (at) => {
          for (const part of ["model", "state"]) await mkdir(join(at, part));
        },
        prune: false,
      },
    );
  }
  {
    await using same = await open(true, 2);
    expect(same.notes).toEqual([]);
  }
  await using other = await open(true, 1);
  expect(other.notes).toEqual([expect.stringContaining("threads 2 -> 1")]);
});

test("numerics: what this process has, threads resolved", () => {
  expect(numerics(3)).toEqual({
    threads: 3,
    device: "cpu",
    libtorch: expect.stringMatching(/^2\.\d+/) as string,
    instruction_set: expect.stringMatching(/^(avx512|avx2|baseline)$/) as string,
    products: expect.stringMatching(/^(onednn|libtorch)$/) as string,
  });
  expect(numerics(0).threads).toBeGreaterThan(0);
});
