/**
 * Images, prompts and positions against transformers, over every family and case in the fixtures' folder. Token ids,
 * grids, positions and resized pixels are exact; pixel_values within 1e-6.
 */
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, type TestContext, test } from "vitest";
import { loadAddon } from "../../src/engine/addon.js";
import { UserError } from "../../src/errors.js";
import { chatTemplate, type Message } from "../../src/pipeline/data/chat-template.js";
import { decodeImage, readImage } from "../../src/pipeline/data/image.js";
import { loadProcessor, type Processor } from "../../src/pipeline/data/processor.js";
import { loadTokenizer, type TextTokenizer } from "../../src/pipeline/data/tokenizer.js";
import { SafetensorsFile } from "../helpers/safetensors.js";

interface DataFunctions {
  preprocessImage(rgb: Uint8Array, height: number, width: number, settingsJson: string): Preprocessed;
  smartResize(height: number, width: number, factor: number, min_pixels: number, max_pixels: number): [number, number];
  ropePositions(
    token_ids: Int32Array,
    grids: Int32Array,
    image_token_id: number,
    video_token_id: number,
    merge_size: number,
  ): { readonly positions: Int32Array; readonly delta: number };
}

interface Preprocessed {
  readonly resized: Uint8Array;
  readonly resized_height: number;
  readonly resized_width: number;
  readonly image_grid_thw: readonly number[];
  readonly pixel_values: Float32Array;
}

interface Row {
  readonly images: readonly string[];
  readonly question: string;
  readonly system: string | null;
}

interface Reference {
  readonly image_names: readonly string[];
  readonly cases: Readonly<Record<string, { readonly rows: readonly Row[]; readonly texts: readonly string[] }>>;
}

const root = process.env["SIGHTLOOP_FIXTURES"] ?? fileURLToPath(new URL("../fixtures", import.meta.url));
/** Tokenizers too large to lie beside their cases as well. */
const shipped: Readonly<Record<string, string>> = {
  qwen2_5: fileURLToPath(new URL("../../configs/processors/qwen_vl", import.meta.url)),
};
const addon = () => loadAddon() as unknown as DataFunctions;
const readJson = <T>(...path: readonly string[]): T => JSON.parse(readFileSync(join(...path), "utf8")) as T;
const subfolders = (folder: string) => (existsSync(folder) ? readdirSync(folder).sort() : []);
const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

const decodedFile = join(root, "images", "decoded.safetensors");
describe.runIf(existsSync(decodedFile))("decoded images", () => {
  const decoded = new SafetensorsFile(decodedFile);
  const names = decoded.names.filter((name) => name.endsWith("/rgb")).map((name) => name.slice(0, -"/rgb".length));
  test.each(names)("%s", async (name) => {
    const { shape, data } = decoded.get(`${name}/rgb`);
    const image = await decodeImage(await readImage({ path: join(root, "images", name) }, "fixture"));
    expect([image.height, image.width, 3]).toEqual(shape);
    expect(same(image.rgb, data as Uint8Array)).toBe(true);
  });
});

const smartResizeFile = join(root, "image_processing", "smart_resize.json");
describe.runIf(existsSync(smartResizeFile))("smart_resize", () => {
  interface Case extends Readonly<Record<"height" | "width" | "factor" | "min_pixels" | "max_pixels", number>> {
    readonly result: readonly number[] | { readonly error: string };
  }
  const { cases } = readJson<{ readonly cases: readonly Case[] }>(smartResizeFile);
  test.each(cases)("$height x $width, factor $factor, $min_pixels to $max_pixels", (c) => {
    const run = () => addon().smartResize(c.height, c.width, c.factor, c.min_pixels, c.max_pixels);
    if ("error" in c.result) expect(run).toThrow("may be at most 200 times the other");
    else expect(run()).toEqual(c.result);
  });
});

describe.each(subfolders(join(root, "tokenizers")))("tokenizer %s", (name) => {
  const folder = join(root, "tokenizers", name);
  let loaded: Promise<TextTokenizer> | undefined;
  const tokenizer = () => (loaded ??= loadTokenizer(shipped[name] ?? folder));

  interface Decoded {
    readonly ids: readonly number[];
    readonly decoded: string;
    readonly decoded_skip_special: string;
  }
  const file = join(folder, "tokenizer_cases.json");
  const { encode, decode } = existsSync(file)
    ? readJson<{ encode: readonly (Decoded & { readonly text: string })[]; decode: readonly Decoded[] }>(file)
    : { encode: [], decode: [] };
  test.each(encode.map((c) => [JSON.stringify(c.text).slice(0, 60), c] as const))("encodes %s", async (_, c) => {
    expect(Array.from((await tokenizer()).encode(c.text))).toEqual(c.ids);
  });
  test.each([...encode, ...decode].map((c) => [JSON.stringify(c.ids).slice(0, 60), c] as const))(
    "decodes %s",
    async (_, { ids, decoded, decoded_skip_special }) => {
      expect((await tokenizer()).decode(ids)).toBe(decoded);
      expect((await tokenizer()).decode(ids, { skip_special_tokens: true })).toBe(decoded_skip_special);
    },
  );

  interface TemplateCase {
    readonly template: string;
    readonly conversation: string;
    readonly messages: readonly Message[];
    readonly kwargs: Readonly<Record<string, unknown>>;
    readonly text?: string;
    readonly ids?: readonly number[];
    readonly error?: string;
  }
  const templateFile = join(folder, "chat_template_cases.json");
  const { templates, cases } = existsSync(templateFile)
    ? readJson<{ templates: Readonly<Record<string, string>>; cases: readonly TemplateCase[] }>(templateFile)
    : { templates: {}, cases: [] };
  test.each(
    cases.map((c) => [`${c.template}, ${c.conversation}, ${JSON.stringify(c.kwargs).slice(0, 60)}`, c] as const),
  )("renders %s", async (_, { template, messages, kwargs, text, ids, error }) => {
    const special = (await tokenizer()).special_tokens;
    const render = () => chatTemplate(templates[template]!, template).render(messages, { ...special, ...kwargs });
    if (error !== undefined) return expect(render).toThrow(UserError);
    expect(render()).toBe(text);
    if (ids !== undefined) expect(Array.from((await tokenizer()).encode(render()))).toEqual(ids);
  });
});

const families = subfolders(root).filter((name) => existsSync(join(root, name, "reference.json")));

test("the fixtures' folder holds at least one family", () => expect(families).not.toEqual([]));

describe.each(families)("%s", (family) => {
  const checkpoint = join(root, family, "checkpoint");
  const reference = readJson<Reference>(root, family, "reference.json");
  const tensors = new SafetensorsFile(join(root, family, "reference.safetensors"));
  const temporary: string[] = [];
  afterAll(() => temporary.forEach((folder) => rmSync(folder, { recursive: true })));

  /** The family's processor; a family whose images are processed in another way is reported as skipped. */
  async function processorOf(context: TestContext, folder = checkpoint): Promise<Processor> {
    try {
      return await loadProcessor(folder);
    } catch (error) {
      if (!(error instanceof UserError) || error.code !== "MODEL_UNSUPPORTED") throw error;
      return context.skip(`${family}: ${error.message}`);
    }
  }

  const gridOf = (image: string) => tensors.numbers(`processor/${image}/image_grid_thw`);
  const tokensOf = (image: string, merge: number) => gridOf(image).reduce((a, b) => a * b) / merge ** 2;

  test.for(reference.image_names)("image %s", async (name, context) => {
    const processor = await processorOf(context);
    const image = await decodeImage(await readImage({ path: join(root, "images", name) }, "fixture"));
    const settings = JSON.stringify(processor.image_processor);
    const result = addon().preprocessImage(image.rgb, image.height, image.width, settings);
    const resized = tensors.get(`processor/${name}/resized_u8`);
    expect([result.resized_height, result.resized_width, 3]).toEqual(resized.shape);
    expect(same(result.resized, resized.data as Uint8Array)).toBe(true);
    expect(result.image_grid_thw).toEqual(gridOf(name));
    const expected = tensors.get(`processor/${name}/pixel_values`).data as Float32Array;
    expect(result.pixel_values.length).toBe(expected.length);
    expect(expected.reduce((max, v, i) => Math.max(max, Math.abs(v - result.pixel_values[i]!)), 0)).toBeLessThan(1e-6);
  });

  const rows = Object.entries(reference.cases).flatMap(([name, { rows, texts }]) =>
    rows.map((row, index) => ({ name, row, index, text: texts[index]! })),
  );
  test.for(rows)("prompt of $name, row $index", async ({ name, row, index, text }, context) => {
    const processor = await processorOf(context);
    const sample = { question: row.question, num_images: row.images.length };
    expect(processor.renderPrompt(sample, { system_prompt: row.system ?? undefined })).toBe(text);
    const merge = processor.image_processor.merge_size;
    const images = row.images.map((image) => ({ num_tokens: tokensOf(image, merge) }));
    const ids = processor.encodePrompt(text, images);
    const columns = realColumns(`${name}/attention_mask`, index);
    expect(Array.from(ids)).toEqual(pick(`${name}/input_ids`, index, columns));
    if (tensors.has(`${name}/position_ids`)) expectPositions(processor, row.images, ids, name, index, columns);
  });

  const completed = tensors.has("completion/position_ids") ? (reference.cases["batch"]?.rows ?? []) : [];
  test.for(completed.map((row, index) => ({ row, index })))(
    "positions of completion $index",
    async ({ row, index }, context) => {
      const processor = await processorOf(context);
      const prompt = realColumns("batch/attention_mask", index);
      const completion = realColumns("completion/mask", index);
      const width = tensors.get("batch/attention_mask").shape[1]!;
      const ids = [...pick("batch/input_ids", index, prompt), ...pick("completion/ids", index, completion)];
      const columns = [...prompt, ...completion.map((column) => width + column)];
      expectPositions(processor, row.images, Int32Array.from(ids), "completion", index, columns);
    },
  );

  function expectPositions(
    { image_token_id, video_token_id, image_processor }: Processor,
    images: readonly string[],
    ids: Int32Array,
    name: string,
    index: number,
    columns: readonly number[],
  ): void {
    const grids = Int32Array.from(images.flatMap(gridOf));
    const found = addon().ropePositions(ids, grids, image_token_id, video_token_id ?? -1, image_processor.merge_size);
    const [axes, batch] = tensors.get(`${name}/position_ids`).shape as [number, number, number];
    const expected = Array.from({ length: axes }, (_, axis) =>
      pick(`${name}/position_ids`, axis * batch + index, columns),
    ).flat();
    expect(Array.from(found.positions)).toEqual(expected);
    if (tensors.has(`${name}/rope_deltas`)) expect(found.delta).toBe(tensors.numbers(`${name}/rope_deltas`)[index]);
  }

  /** Columns of a row that are not padding. */
  function realColumns(mask: string, row: number): readonly number[] {
    const width = tensors.get(mask).shape.at(-1)!;
    const values = tensors.numbers(mask).slice(row * width, (row + 1) * width);
    return values.flatMap((value, column) => (value === 0 ? [] : [column]));
  }

  function pick(name: string, row: number, columns: readonly number[]): readonly number[] {
    const width = tensors.get(name).shape.at(-1)!;
    const values = tensors.numbers(name);
    return columns.map((column) => values[row * width + column]!);
  }

  /** Files that one layout has and the other has not: those of transformers 5, and of published checkpoints. */
  const layouts = [
    ["transformers 5", ["preprocessor_config.json", "chat_template.json"], {}],
    ["published", ["processor_config.json", "chat_template.jinja"], { "config.json": "config_hub_layout.json" }],
  ] as const;
  test.for(layouts)("the %s layout gives the same processor", async ([, left_out, replaced], context) => {
    const whole = await processorOf(context);
    const folder = mkdtempSync(join(tmpdir(), "sightloop-layout-"));
    temporary.push(folder);
    for (const name of readdirSync(checkpoint))
      if (!name.endsWith(".safetensors") && !(left_out as readonly string[]).includes(name))
        copyFileSync(join(checkpoint, name), join(folder, name));
    for (const [name, other] of Object.entries(replaced))
      if (existsSync(join(root, family, other))) copyFileSync(join(root, family, other), join(folder, name));
    const part = await processorOf(context, folder);
    expect(part.image_processor).toEqual(whole.image_processor);
    expect(part.stop_token_ids).toEqual(whole.stop_token_ids);
    expect([part.image_token_id, part.video_token_id]).toEqual([whole.image_token_id, whole.video_token_id]);
    const sample = { question: "What?", num_images: 2 };
    expect(part.renderPrompt(sample)).toBe(whole.renderPrompt(sample));
  });
});
