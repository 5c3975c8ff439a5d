import type { ChatTurn, ImageSource, Sample } from "../../batches/sample.js";
import { BadRow } from "../reading/bad-row.js";
import { imagePaths } from "../reading/image-paths.js";
import { show, stringOf } from "../reading/values.js";
import type { Columns } from "./layout.js";

/** A row: turns of user and assistant in alternation, a user's first, an assistant's last. */
export interface Conversation {
  readonly system_prompt: string | undefined;
  readonly turns: readonly ChatTurn[];
  readonly images: readonly ImageSource[];
}

const marker = "<image>";
const markersIn = (text: string): number => text.split(marker).length - 1;

/** One sample for each answer, or for the last. */
export function samplesOf(
  { system_prompt, turns, images }: Conversation,
  { id, turns: which }: { readonly id: string; readonly turns: "all" | "last" },
): readonly Sample[] {
  const num_markers = turns.reduce((sum, { content }) => sum + markersIn(content), 0);
  if (num_markers !== 0 && num_markers !== images.length)
    throw new BadRow(`${num_markers} ${marker} markers, but ${images.length} images; write one marker per image`);
  const answers = turns.length / 2;
  return Array.from({ length: answers }, (_, i) => i)
    .filter((i) => which === "all" || i === answers - 1)
    .map((i) => {
      const history = turns.slice(0, 2 * i);
      const { content: question } = turns[2 * i]!;
      const { content: solution } = turns[2 * i + 1]!;
      const seen = [...history, turns[2 * i]!].reduce((sum, { content }) => sum + markersIn(content), 0);
      return {
        id: answers === 1 ? id : `${id}.${i + 1}`,
        question,
        ...(history.length > 0 && { history }),
        ...(system_prompt !== undefined && { system_prompt }),
        ...{ answer: solution, solution },
        images: num_markers === 0 ? images : images.slice(0, seen),
      };
    });
}

/** Parts that both layouts name alike. @throws BadRow for media that no model here takes */
export function commonParts(
  row: Readonly<Record<string, unknown>>,
  columns: Columns,
  folder: string,
): Pick<Conversation, "images" | "system_prompt"> {
  for (const key of ["videos", "audios", "tools"] as const) {
    const value = row[columns[key]];
    const empty = value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0);
    if (!empty) throw new BadRow(`"${columns[key]}" is ${show(value)}; only text and images are supported`);
  }
  const system = row[columns.system];
  return {
    images: imagePaths(columns.images, row[columns.images], folder),
    system_prompt:
      system === undefined || system === null || system === "" ? undefined : stringOf(columns.system, system),
  };
}
