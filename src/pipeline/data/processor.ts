import { access } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { ImageGrid, ImageProcessorSettings } from "../../engine/engine.js";
import { UserError } from "../../errors.js";
import { type ChatTemplate, loadChatTemplate } from "./chat-template.js";
import { missingFile, parseAs, readJson } from "./checkpoint-files.js";
import { loadImageSettings } from "./image-settings.js";
import { promptMessages, type PromptSample } from "./messages.js";
import { loadTokenizer, type TextTokenizer } from "./tokenizer.js";

export interface PromptOptions {
  /** Absent: whatever the template says by itself. */
  readonly system_prompt?: string | undefined;
  /** Text that every completion goes on from, such as `<think>`. */
  readonly assistant_prefix?: string | undefined;
}

/** What stands between a sample and the model's tokens, all of it from the checkpoint's own files. */
export interface Processor {
  readonly image_processor: ImageProcessorSettings;
  /** Tokens that end a completion: the tokenizer's own first (a turn is written with it), then generation_config.json's. */
  readonly stop_token_ids: readonly number[];
  readonly image_token_id: number;
  /** null: the model has none. */
  readonly video_token_id: number | null;
  /** Names of the tokenizer and processor files, to copy beside saved weights. */
  readonly files: readonly string[];
  /**
   * Chat template applied, generation prompt added; one placeholder per image.
   * @throws UserError PROMPT_INVALID if `<image>` markers and images disagree in number, or the template drops the question
   */
  renderPrompt(sample: PromptSample, options?: PromptOptions): string;
  /**
   * Token ids with every placeholder repeated once per image token.
   * @throws UserError PROMPT_INVALID naming both counts if placeholders and images disagree
   */
  encodePrompt(text: string, images: readonly Pick<ImageGrid, "num_tokens">[]): Int32Array;
  /** Plain text to ids, as the middle of a sequence: no special tokens are added. */
  encode(text: string): Int32Array;
  decode(token_ids: Iterable<number>, options?: { readonly skip_special_tokens?: boolean }): string;
}

const COPIED_FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  "chat_template.json",
  "processor_config.json",
  "preprocessor_config.json",
  "video_preprocessor_config.json",
  "generation_config.json",
];

const tokenIds = z.union([z.int().transform((id) => [id]), z.array(z.int())]).nullish();
const configSchema = z.object({
  image_token_id: z.int(),
  video_token_id: z.int().nullish(),
  eos_token_id: tokenIds,
  text_config: z.object({ eos_token_id: tokenIds }).nullish(),
  vision_config: z.object({
    patch_size: z.int().optional(),
    temporal_patch_size: z.int().optional(),
    spatial_merge_size: z.int().optional(),
  }),
});
const generationSchema = z.object({ eos_token_id: tokenIds });

/** @throws UserError naming the file that is missing, malformed or of an unsupported family */
export async function loadProcessor(modelPath: string): Promise<Processor> {
  const image_processor = await loadImageSettings(modelPath);
  const configJson = await readJson(modelPath, "config.json");
  if (configJson === undefined) throw missingFile(modelPath, ["config.json"], "the model's configuration");
  const config = parseAs(configSchema, configJson, join(modelPath, "config.json"));
  checkSameSizes(image_processor, config.vision_config, modelPath);
  const tokenizer = await loadTokenizer(modelPath);
  const template = await loadChatTemplate(modelPath);
  const fallback = config.eos_token_id ?? config.text_config?.eos_token_id ?? [];
  return {
    image_processor,
    stop_token_ids: await stopTokens(modelPath, tokenizer, fallback),
    image_token_id: config.image_token_id,
    video_token_id: config.video_token_id ?? null,
    files: await present(modelPath),
    renderPrompt: (sample, options) => renderPrompt(template, tokenizer, sample, options),
    encodePrompt: (text, images) => expandPlaceholders(encodeWhole(tokenizer, text), config.image_token_id, images),
    encode: (text) => tokenizer.encode(text),
    decode: (token_ids, options) => tokenizer.decode(token_ids, options),
  };
}

/** Preprocessor and vision tower must cut the same patches; another size would give wrong tokens without a word. */
function checkSameSizes(
  settings: ImageProcessorSettings,
  vision: z.output<typeof configSchema>["vision_config"],
  folder: string,
): void {
  const pairs = [
    ["patch_size", settings.patch_size, vision.patch_size],
    ["temporal_patch_size", settings.temporal_patch_size, vision.temporal_patch_size],
    ["merge_size", settings.merge_size, vision.spatial_merge_size],
  ] as const;
  for (const [name, processor, model] of pairs)
    if (model !== undefined && model !== processor)
      throw new UserError(
        "CHECKPOINT_INVALID",
        `${folder}: the image processor's ${name} is ${processor}, but config.json's vision_config says ${model}`,
        "The preprocessor files belong to another model. Restore those of this checkpoint.",
      );
}

/** The union: real checkpoints list tokens in either place. config.json speaks where there is no generation_config.json. */
async function stopTokens(
  folder: string,
  tokenizer: TextTokenizer,
  fallback: readonly number[],
): Promise<readonly number[]> {
  const json = await readJson(folder, "generation_config.json");
  const path = join(folder, "generation_config.json");
  const listed = json === undefined ? fallback : (parseAs(generationSchema, json, path).eos_token_id ?? []);
  const named = tokenizer.special_tokens["eos_token"];
  const own = named === undefined ? undefined : tokenizer.tokenId(named);
  const ids = [...new Set(own === undefined ? listed : [own, ...listed])];
  if (ids.length > 0) return ids;
  throw new UserError(
    "CHECKPOINT_INVALID",
    `${folder}: no token ends a completion`,
    "Set eos_token_id in generation_config.json, or eos_token in tokenizer_config.json.",
  );
}

async function present(folder: string): Promise<readonly string[]> {
  const found = await Promise.all(
    COPIED_FILES.map((name) =>
      access(join(folder, name))
        .then(() => true)
        .catch(() => false),
    ),
  );
  return COPIED_FILES.filter((_, i) => found[i]);
}

function renderPrompt(
  template: ChatTemplate,
  tokenizer: TextTokenizer,
  sample: PromptSample,
  { system_prompt, assistant_prefix = "" }: PromptOptions = {},
): string {
  const messages = promptMessages(sample, system_prompt);
  const text = template.render(messages, { ...tokenizer.special_tokens, add_generation_prompt: true });
  for (const { content } of messages)
    for (const part of content)
      if (part.type === "text" && !text.includes(part.text.trim()))
        throw new UserError(
          "PROMPT_INVALID",
          `the chat template leaves out ${JSON.stringify(part.text.slice(0, 80))}`,
          "The checkpoint's chat template is not one for vision-language models. Use the template of such a checkpoint.",
        );
  return text + assistant_prefix;
}

/** As the reference's processor: special tokens are added unless the template already began with the first of them. */
function encodeWhole(tokenizer: TextTokenizer, text: string): Int32Array {
  const first = tokenizer.special_tokens["bos_token"];
  return tokenizer.encode(text, { add_special_tokens: first === undefined || !text.startsWith(first) });
}

function expandPlaceholders(
  ids: Int32Array,
  imageTokenId: number,
  images: readonly { readonly num_tokens: number }[],
): Int32Array {
  const placeholders = ids.reduce((count, id) => count + (id === imageTokenId ? 1 : 0), 0);
  if (placeholders !== images.length)
    throw new UserError(
      "PROMPT_INVALID",
      `the prompt has ${placeholders} image placeholders, but the sample has ${images.length} images`,
      "Write one <image> marker per image or none at all, and no image tokens of the model in the question.",
    );
  const added = images.reduce((sum, { num_tokens }) => sum + num_tokens - 1, 0);
  const expanded = new Int32Array(ids.length + added);
  let [to, image] = [0, 0];
  for (const id of ids) {
    const repeats = id === imageTokenId ? images[image++]!.num_tokens : 1;
    expanded.fill(id, to, to + repeats);
    to += repeats;
  }
  return expanded;
}
