import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { loadTokenizer, type TextTokenizer } from "../pipeline/data/tokenizer.js";
import type { Run } from "../reports/read/run-folder-reader.js";

/** Text of single tokens. */
export type TokenTexts = (token_ids: readonly number[]) => readonly string[];

/**
 * By the tokenizer of the run's newest checkpoint, or of the model that it started from; undefined if neither is there
 * any more.
 */
export async function tokenTexts({ folder, config }: Run): Promise<TokenTexts | undefined> {
  const checkpoints = join(folder, "checkpoints");
  const steps = (await readdir(checkpoints).catch((): string[] => []))
    .filter((name) => name.startsWith("step-"))
    .sort();
  const model = config["model"];
  const path = typeof model === "object" && model !== null ? (model as { readonly path?: unknown }).path : undefined;
  const candidates = [
    ...steps.reverse().map((step) => join(checkpoints, step, "model")),
    ...(typeof path === "string" ? [path] : []),
  ];
  for (const candidate of candidates) {
    const tokenizer = await loadTokenizer(candidate).catch(() => undefined);
    if (tokenizer !== undefined) return (token_ids) => textsOf(tokenizer, token_ids);
  }
  return undefined;
}

/** A character that several tokens share stands at the first of them; the text of the others is empty. */
function textsOf(tokenizer: TextTokenizer, token_ids: readonly number[]): readonly string[] {
  const max_shared = 6; // a character has up to 4 bytes
  const texts: string[] = [];
  for (let i = 0; i < token_ids.length;) {
    let taken = 1;
    let text = tokenizer.decode(token_ids.slice(i, i + 1));
    while (text.includes("\ufffd") && taken < max_shared && i + taken < token_ids.length) {
      const longer = tokenizer.decode(token_ids.slice(i, i + taken + 1));
      taken += 1;
      if (longer.includes("\ufffd") && taken === max_shared) {
        taken = 1; // it is broken text, not a character in parts
        break;
      }
      text = longer;
    }
    texts.push(text, ...Array.from({ length: taken - 1 }, () => ""));
    i += taken;
  }
  return texts;
}
