import { z } from "zod";

/** Names and defaults are LLaMA-Factory's (its data/README.md). */

const column = z.string().min(1);

export const columnsSchema = z.strictObject({
  prompt: column.default("instruction"),
  query: column.default("input"),
  response: column.default("output"),
  history: column.default("history"),
  messages: column.default("conversations"),
  system: column.default("system"),
  images: column.default("images"),
  videos: column.default("videos"),
  audios: column.default("audios"),
  tools: column.default("tools"),
});
export type Columns = z.infer<typeof columnsSchema>;

export const tagsSchema = z.strictObject({
  role_tag: column.default("from"),
  content_tag: column.default("value"),
  user_tag: column.default("human"),
  assistant_tag: column.default("gpt"),
  observation_tag: column.default("observation"),
  function_tag: column.default("function_call"),
  system_tag: column.default("system"),
});
export type Tags = z.infer<typeof tagsSchema>;

export interface Layout {
  readonly formatting: "alpaca" | "sharegpt";
  readonly columns: Columns;
  readonly tags: Tags;
}
