import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../../errors.js";
import { columnsSchema, type Layout, tagsSchema } from "./layout.js";

const entrySchema = z.object({
  file_name: z.string().min(1, "is empty").optional(),
  formatting: z.enum(["alpaca", "sharegpt"]).default("alpaca"),
  ranking: z.literal(false, "preference data has no single answer to imitate").optional(),
  columns: columnsSchema.partial().default({}),
  tags: tagsSchema.partial().default({}),
});

/**
 * The file and layout that an entry of dataset_info.json describes.
 * @param given params of the config; none of what the entry says may stand there as well
 * @throws UserError DATASET_INVALID, CONFIG_INVALID
 */
export async function readEntry(
  folder: string,
  dataset: string,
  given: Readonly<Record<string, unknown>>,
): Promise<{ readonly file: string; readonly layout: Layout }> {
  const twice = ["formatting", "columns", "tags"].find((key) => given[key] !== undefined);
  const path = join(folder, "dataset_info.json");
  if (twice !== undefined)
    throw new UserError(
      "CONFIG_INVALID",
      `llama_factory: ${twice} is said by ${path} already`,
      `Remove ${twice}, or dataset.`,
    );
  const refuse = (what: string, cause?: unknown): UserError =>
    new UserError(
      "DATASET_INVALID",
      `${path}: ${what}`,
      "It is LLaMA-Factory's list of datasets; path names its folder.",
      {
        cause,
      },
    );
  let all: unknown;
  try {
    all = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw refuse(`cannot be read (${(cause as Error).message})`, cause);
  }
  const entries = z.record(z.string(), z.unknown()).safeParse(all);
  const entry = entries.success ? entries.data[dataset] : undefined;
  if (entry === undefined)
    throw refuse(
      `has no dataset "${dataset}"; it has ${entries.success ? Object.keys(entries.data).join(", ") : "no list"}`,
    );
  const parsed = entrySchema.safeParse(entry);
  if (!parsed.success) throw refuse(`"${dataset}" is not understood\n${z.prettifyError(parsed.error)}`);
  const { file_name, formatting, columns, tags } = parsed.data;
  if (file_name === undefined)
    throw refuse(`"${dataset}" names no file_name; data behind an address has to be downloaded first`);
  return {
    file: join(folder, file_name),
    layout: { formatting, columns: columnsSchema.parse(columns), tags: tagsSchema.parse(tags) },
  };
}
