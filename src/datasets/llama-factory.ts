import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import { locateDataset } from "../hub/locate.js";
import { type Dataset, defineDataset } from "./dataset.js";
import { alpacaConversation } from "./llama-factory/alpaca.js";
import { type Conversation, samplesOf } from "./llama-factory/conversation.js";
import { readEntry } from "./llama-factory/dataset-info.js";
import { columnsSchema, type Layout, tagsSchema } from "./llama-factory/layout.js";
import { sharegptConversation } from "./llama-factory/sharegpt.js";
import { readJsonRows } from "./reading/json-rows.js";
import { besideAndBelow } from "./reading/repository.js";
import { type RawRow, tableOf } from "./reading/table.js";

/**
 * LLaMA-Factory's data as it stands: JSON or JSONL in its alpaca or sharegpt layout, images as paths, named by keys like
 * those of its dataset_info.json, or by that file itself.
 */
export const llamaFactory = defineDataset({
  name: "llama_factory",
  params: z.strictObject({
    /** The .json or .jsonl file, or with `dataset` the folder of dataset_info.json; `hf:org/name/...` is downloaded. */
    path: z.string().min(1),
    /** An entry of dataset_info.json, which then says formatting, columns and tags. */
    dataset: z.string().min(1).optional(),
    formatting: z.enum(["alpaca", "sharegpt"]).optional(),
    columns: columnsSchema.optional(),
    tags: tagsSchema.optional(),
    /** Where relative image paths start; absent: the folder of the file. */
    image_folder: z.string().min(1).optional(),
    /** all: each answer of a conversation is a sample, what was said before it being its prompt; last: only the last one. */
    turns: z.enum(["all", "last"]).default("all"),
  }),
  async open(params, { base_folder, hub, on_bad_row }): Promise<Dataset> {
    const { path, dataset, turns } = params;
    const select = (files: readonly string[], inside: string): readonly string[] =>
      besideAndBelow(files, dataset === undefined ? inside : join(inside, "dataset_info.json"));
    const located = await locateDataset(path, { base_folder, hub, select });
    const entry = dataset === undefined ? undefined : await readEntry(located.path, dataset, params);
    const file = entry?.file ?? located.path;
    const folder = params.image_folder === undefined ? dirname(file) : resolve(base_folder, params.image_folder);
    const layout: Layout = entry?.layout ?? {
      formatting: params.formatting ?? "alpaca",
      columns: columnsSchema.parse(params.columns ?? {}),
      tags: tagsSchema.parse(params.tags ?? {}),
    };
    return tableOf(rawRows(file, layout, { folder, turns }), {
      ...{ name: dataset ?? path, file, on_bad_row, pinned_path: located.pinned },
      hint:
        "A row is an object of LLaMA-Factory's alpaca layout (instruction, input, output, system, history, images) or, with " +
        "formatting: sharegpt, conversations of turns in strict alternation; other names are told by columns and tags.",
      hint_empty: "Check path, and whether the file holds a list of objects.",
    });
  },
});

async function* rawRows(
  file: string,
  layout: Layout,
  { folder, turns }: { readonly folder: string; readonly turns: "all" | "last" },
): AsyncGenerator<RawRow> {
  const conversationOf = layout.formatting === "alpaca" ? alpacaConversation : sharegptConversation;
  let row = 0;
  for await (const { line, parse } of readJsonRows(file)) {
    const id = `${(row += 1)}`;
    yield {
      line,
      read: () => {
        const value = parse();
        if (value === undefined) return [];
        const conversation: Conversation = conversationOf(value, layout, folder);
        return samplesOf(conversation, { id, turns });
      },
    };
  }
}
