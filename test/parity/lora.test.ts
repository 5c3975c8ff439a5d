/**
 * The engine's LoRA against PEFT's, on the fixtures in <family>/lora that peft_reference.py has made: an adapter that PEFT
 * wrote gives the same logits, greedy tokens and gradients here. An adapter that is saved here is loaded by PEFT where a
 * Python with peft is at hand (`python3`, or the one that SIGHTLOOP_PYTHON names), else that test is skipped by name.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine, EngineOptions } from "../../src/engine/engine.js";
import { openTestEngine, sampling } from "../helpers/engine.js";
import { addFixtureImages, casePrompts, families, type Family, maxAbsDiff } from "../helpers/fixtures.js";
import { LANGUAGE_ONLY, lossOptions, lossTrajectories } from "../helpers/lora.js";
import { SafetensorsFile } from "../helpers/safetensors.js";

const run = promisify(execFile);
const python = process.env["SIGHTLOOP_PYTHON"] ?? "python3";
const script = join(import.meta.dirname, "peft_reference.py");
const environment = { ...process.env, HF_HUB_OFFLINE: "1", TRANSFORMERS_VERBOSITY: "error" };
const root = mkdtempSync(join(tmpdir(), "sightloop-lora-"));
afterAll(() => rmSync(root, { recursive: true }));

const found = families().filter(({ folder }) => existsSync(join(folder, "lora")));

test("the fixtures hold at least one adapter", () => {
  expect(found.length).toBeGreaterThan(0);
});

let without: string | undefined;
beforeAll(async () => {
  without = await run(python, ["-c", "import peft, transformers"], { env: environment }).then(
    () => undefined,
    () => `${python} has no peft: name one that has, and transformers, by SIGHTLOOP_PYTHON`,
  );
});

async function opened(family: Family, overrides: Partial<EngineOptions>) {
  const { engine } = await openTestEngine(family.checkpoint, {
    trainable: LANGUAGE_ONLY,
    ...lossOptions(family),
    ...overrides,
  });
  return { engine, images: await addFixtureImages(engine, family.reference.image_names) };
}

type Opened = Awaited<ReturnType<typeof opened>>;

async function greedyTokens(family: Family, { engine, images }: Opened): Promise<number[]> {
  const session = engine.rollout(sampling({ temperature: 0, max_completion_tokens: 32 }));
  await session.add(casePrompts(family, "batch", images), 1);
  const completions = [];
  for await (const completion of session) completions.push(completion);
  await session[Symbol.asyncDispose]();
  return completions.sort((a, b) => a.prompt_id - b.prompt_id).flatMap(({ token_ids }) => [...token_ids]);
}

async function lastLogits(family: Family, { engine, images }: Opened, name: string): Promise<Float32Array> {
  const [row] = await engine.inspect(casePrompts(family, name, images));
  const { data, shape } = row!.get("logits")!;
  return data.subarray(data.length - shape[1]!);
}

async function expectAgreement(family: Family, at: Opened, theirs: SafetensorsFile): Promise<void> {
  for (const name of ["text", "multi"]) {
    const logits = theirs.get(`${name}/last_logits`).data as Float32Array;
    expect(maxAbsDiff(await lastLogits(family, at, name), logits), name).toBeLessThan(1e-4);
  }
  expect(await greedyTokens(family, at)).toEqual(theirs.numbers("generate/tokens"));
}

describe.each(found)("$name", (family) => {
  const adapter = join(family.folder, "lora");
  const theirs = new SafetensorsFile(join(adapter, "reference.safetensors"));
  let at: Opened;
  let engine: Engine;
  beforeAll(async () => {
    at = await opened(family, { lora: { path: adapter } });
    engine = at.engine;
  });
  afterAll(async () => engine?.close());

  test("PEFT's adapter: the same logits and greedy tokens, and others than the base's", async () => {
    await expectAgreement(family, at, theirs);
    const base = await opened(family, { with_reference: false });
    const difference = maxAbsDiff(await lastLogits(family, base, "text"), await lastLogits(family, at, "text"));
    await base.engine.close();
    expect(difference).toBeGreaterThan(0.1);
  });

  test("the same gradients, of the adapter alone, also with activation checkpointing", async () => {
    const trajectories = lossTrajectories(family, at.images);
    const gradients = await engine.inspectGradients(trajectories);
    const names = theirs.names.filter((name) => name.startsWith("grad/"));
    expect([...gradients.keys()].length).toBe(names.length);
    for (const name of names) {
      const expected = theirs.get(name).data as Float32Array;
      const actual = gradients.get(name.replace("grad/base_model.model.model.language_model.", "model."))!;
      const scale = Math.max(...expected.map(Math.abs));
      expect(maxAbsDiff(actual.data, expected) / scale, name).toBeLessThan(1e-3);
    }
    const checkpointed = await opened(family, { lora: { path: adapter }, activation_checkpointing: true });
    const recomputed = await checkpointed.engine.inspectGradients(trajectories);
    await checkpointed.engine.close();
    for (const [name, { data }] of gradients) expect(recomputed.get(name)!.data, name).toEqual(data);
  });

  test("PEFT loads what is saved here bit for bit, and generates the same tokens", async (context) => {
    if (without !== undefined) return context.skip(without);
    const fresh = await opened(family, {
      lora: { rank: 3, alpha: 12, targets: ["q_proj", "down_proj"], rslora: true },
    });
    await fresh.engine.update(lossTrajectories(family, fresh.images));
    await fresh.engine.update(lossTrajectories(family, fresh.images));
    await fresh.engine.saveAdapter(root);
    const output = join(root, "peft.safetensors");
    const { stdout } = await run(python, [script, "run", family.folder, root, output], { env: environment });
    const num_tensors = new SafetensorsFile(join(root, "adapter_model.safetensors")).names.length;
    expect(num_tensors).toBeGreaterThanOrEqual(3 * 2 * 2); // layers, targets, halves
    expect(JSON.parse(stdout)).toEqual({ num_tensors, different: [], left_out: [] });
    await expectAgreement(family, fresh, new SafetensorsFile(output));
    await fresh.engine.close();
  }, 600_000);
});
