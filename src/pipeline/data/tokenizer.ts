import { join } from "node:path";
import * as library from "@huggingface/tokenizers";
import { UserError } from "../../errors.js";
import { type JsonObject, missingFile, readJson } from "./checkpoint-files.js";

/** The checkpoint's own tokenizer. Token ids are those of the reference, merges given as strings or as pairs. */
export interface TextTokenizer {
  /** Named special tokens of tokenizer_config.json: `eos_token`, `pad_token`, ... -> their text. */
  readonly special_tokens: Readonly<Record<string, string>>;
  encode(text: string, options?: { readonly add_special_tokens?: boolean }): Int32Array;
  /** Ids without a token (rows of the embedding beyond the vocabulary) are left out. */
  decode(token_ids: Iterable<number>, options?: { readonly skip_special_tokens?: boolean }): string;
  tokenId(token: string): number | undefined;
}

export const TOKENIZER_FILE = "tokenizer.json";
export const TOKENIZER_CONFIG_FILE = "tokenizer_config.json";

/** @throws UserError FILE_NOT_FOUND, CHECKPOINT_INVALID or TOKENIZER_INVALID, naming the file */
export async function loadTokenizer(folder: string): Promise<TextTokenizer> {
  const definition = await readJson(folder, TOKENIZER_FILE);
  if (definition === undefined) throw missingFile(folder, [TOKENIZER_FILE], "the tokenizer");
  const config = (await readJson(folder, TOKENIZER_CONFIG_FILE)) ?? {};
  return tokenizerFrom(definition, config, join(folder, TOKENIZER_FILE));
}

/** `path` names the definition in messages. */
export function tokenizerFrom(definition: JsonObject, config: JsonObject, path: string): TextTokenizer {
  // What the library does not check of the file shows when it is used.
  const tokenizer = usable(path, () => new Tokenizer(definition, { clean_up_tokenization_spaces: false, ...config }));
  return {
    special_tokens: namedTokens(config),
    encode: (text, { add_special_tokens = false } = {}) => {
      const ids: readonly unknown[] = usable(path, () => tokenizer.encode(text, { add_special_tokens }).ids);
      const wrong = ids.find((id) => !Number.isInteger(id));
      if (wrong !== undefined) throw unusable(path, `it gives the token id ${JSON.stringify(wrong)}`);
      return Int32Array.from(ids as readonly number[]);
    },
    decode: (token_ids, { skip_special_tokens = false } = {}) =>
      usable(path, () => {
        const known = Array.from(token_ids).filter((id) => tokenizer.id_to_token(id) !== undefined);
        return known.length === 0 ? "" : tokenizer.decode(known, { skip_special_tokens });
      }),
    tokenId: (token) => tokenizer.token_to_id(token),
  };
}

/** The library's declarations resolve only in a bundler, so what is used of it is declared here. */
interface LibraryTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { readonly ids: readonly number[] };
  decode(token_ids: readonly number[], options: { skip_special_tokens: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

const { Tokenizer } = library as unknown as {
  readonly Tokenizer: new (definition: JsonObject, config: JsonObject) => LibraryTokenizer;
};

function usable<T>(path: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    throw unusable(path, error instanceof Error ? error.message : String(error), error);
  }
}

const unusable = (path: string, why: string, cause?: unknown): UserError =>
  new UserError(
    "TOKENIZER_INVALID",
    `${path}: not a tokenizer that can be used (${why})`,
    "It must be the tokenizer.json that transformers saves (a fast tokenizer). Save it again with AutoTokenizer.",
    { cause },
  );

/** `"eos_token": "<|im_end|>"` and the older `"eos_token": { "content": "<|im_end|>", ... }`; null means none. */
function namedTokens(config: JsonObject): Readonly<Record<string, string>> {
  const named: Record<string, string> = {};
  for (const [name, value] of Object.entries(config)) {
    if (!name.endsWith("_token")) continue;
    const text = typeof value === "object" && value !== null ? (value as JsonObject)["content"] : value;
    if (typeof text === "string") named[name] = text;
  }
  return named;
}
