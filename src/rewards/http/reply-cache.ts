import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../errors.js";

/** In memory; the oldest go first. */
const max_entries = 100_000;

/**
 * Replies by the content of their request. The same request is sent once, also while the first one is under way; a
 * failure is not kept. With a folder, replies outlive the run: one small file each.
 */
export class ReplyCache {
  readonly #folder: string | null;
  readonly #replies = new Map<string, Promise<string>>();

  constructor(folder: string | null) {
    this.#folder = folder;
  }

  get(request: unknown, ask: () => Promise<string>): Promise<string> {
    const key = createHash("sha256").update(JSON.stringify(request)).digest("hex");
    const known = this.#replies.get(key);
    if (known !== undefined) return known;
    const reply = this.#fromDiskOr(key, ask);
    this.#replies.set(key, reply);
    reply.catch(() => this.#replies.delete(key));
    if (this.#replies.size > max_entries) this.#replies.delete(this.#replies.keys().next().value!);
    return reply;
  }

  async #fromDiskOr(key: string, ask: () => Promise<string>): Promise<string> {
    if (this.#folder === null) return ask();
    const folder = join(this.#folder, key.slice(0, 2));
    const file = join(folder, `${key}.json`);
    const kept = await readReply(file);
    if (kept !== undefined) return kept;
    const reply = await ask();
    try {
      await mkdir(folder, { recursive: true });
      await writeFile(`${file}.tmp-${process.pid}`, JSON.stringify({ reply }));
      await rename(`${file}.tmp-${process.pid}`, file);
    } catch (cause) {
      const what = `${file} cannot be written: ${(cause as Error).message}`;
      throw new UserError("FILE_NOT_WRITABLE", what, "Choose another cache_folder, or none.", { cause });
    }
    return reply;
  }
}

/** Undefined if there is none, or not a whole one. */
async function readReply(file: string): Promise<string | undefined> {
  try {
    const { reply } = JSON.parse(await readFile(file, "utf8")) as { reply?: unknown };
    return typeof reply === "string" ? reply : undefined;
  } catch {
    return undefined;
  }
}
