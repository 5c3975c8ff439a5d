import { join } from "node:path";
import { UserError } from "../../errors.js";
import { missingFile, readJson, readText } from "./checkpoint-files.js";
import { compileTemplate, type RenderTemplate } from "./python-jinja.js";
import { TOKENIZER_CONFIG_FILE } from "./tokenizer.js";

export type ContentPart = { readonly type: "image" } | { readonly type: "text"; readonly text: string };

export interface Message {
  readonly role: string;
  readonly content: string | readonly ContentPart[];
}

/** Variables of the template besides `messages`: add_generation_prompt, tools, special tokens by name, ... */
export type TemplateVariables = Readonly<Record<string, unknown>>;

export interface ChatTemplate {
  /** @throws UserError PROMPT_INVALID where the reference raises, such as list content in a text-only template */
  render(messages: readonly Message[], variables?: TemplateVariables): string;
}

const TEMPLATE_FILES = ["chat_template.json", "chat_template.jinja"] as const;

/**
 * The template that transformers' processor takes: processor_config.json's own, else chat_template.json, else
 * chat_template.jinja, else tokenizer_config.json's (its entry "default" where it holds several).
 */
export async function loadChatTemplate(folder: string): Promise<ChatTemplate> {
  const inProcessor = (await readJson(folder, "processor_config.json"))?.["chat_template"];
  if (typeof inProcessor === "string") return chatTemplate(inProcessor, join(folder, "processor_config.json"));
  const legacy = (await readJson(folder, TEMPLATE_FILES[0]))?.["chat_template"];
  if (typeof legacy === "string") return chatTemplate(legacy, join(folder, TEMPLATE_FILES[0]));
  const plain = await readText(folder, TEMPLATE_FILES[1]);
  if (plain !== undefined) return chatTemplate(plain, join(folder, TEMPLATE_FILES[1]));
  const inTokenizer = defaultTemplate((await readJson(folder, TOKENIZER_CONFIG_FILE))?.["chat_template"]);
  if (inTokenizer !== undefined) return chatTemplate(inTokenizer, join(folder, TOKENIZER_CONFIG_FILE));
  throw missingFile(folder, [...TEMPLATE_FILES, TOKENIZER_CONFIG_FILE], "the chat template");
}

function defaultTemplate(entry: unknown): string | undefined {
  if (typeof entry === "string") return entry;
  if (!Array.isArray(entry)) return undefined;
  const named = entry as readonly { readonly name?: unknown; readonly template?: unknown }[];
  const template = named.find(({ name }) => name === "default")?.template;
  return typeof template === "string" ? template : undefined;
}

/** `path` names the template in messages. */
export function chatTemplate(source: string, path: string): ChatTemplate {
  let render: RenderTemplate;
  try {
    render = compileTemplate(source);
  } catch (error) {
    throw failure("CHECKPOINT_INVALID", `${path}: the chat template cannot be parsed`, error, RESTORE_TEMPLATE);
  }
  return {
    render(messages, variables = {}) {
      try {
        return render({ tools: null, documents: null, ...variables, messages });
      } catch (error) {
        throw failure("PROMPT_INVALID", `${path}: the chat template refuses the messages`, error, CHECK_MESSAGES);
      }
    },
  };
}

const RESTORE_TEMPLATE = "Restore the file from where the checkpoint came from.";
const CHECK_MESSAGES =
  "A text-only template takes no images: use the template of a vision-language checkpoint, or remove the images.";

function failure(code: "CHECKPOINT_INVALID" | "PROMPT_INVALID", what: string, error: unknown, hint: string): UserError {
  return new UserError(code, `${what} (${error instanceof Error ? error.message : String(error)})`, hint, {
    cause: error,
  });
}
