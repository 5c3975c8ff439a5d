import type { ChatTurn } from "../../batches/sample.js";
import { BadRow } from "../reading/bad-row.js";
import { objectOf, show, stringOf } from "../reading/values.js";
import { commonParts, type Conversation } from "./conversation.js";
import type { Layout } from "./layout.js";

/** {instruction, input?, output, system?, history?: [[question, answer], ...], images?} @throws BadRow */
export function alpacaConversation(value: unknown, { columns }: Layout, folder: string): Conversation {
  const row = objectOf(value, `{"${columns.prompt}": ..., "${columns.response}": ...}`);
  const query = row[columns.query] ?? "";
  if (typeof query !== "string") throw new BadRow(`"${columns.query}" is ${show(query)}; expected text`);
  const question = [stringOf(columns.prompt, row[columns.prompt]), query].filter((text) => text !== "").join("\n");
  const response = stringOf(columns.response, row[columns.response]);
  return {
    ...commonParts(row, columns, folder),
    turns: [
      ...historyOf(row[columns.history], columns.history),
      { role: "user", content: question },
      { role: "assistant", content: response },
    ],
  };
}

function historyOf(value: unknown, column: string): readonly ChatTurn[] {
  if (value === undefined || value === null) return [];
  const pairs = Array.isArray(value) ? (value as readonly unknown[]) : [value];
  return pairs.flatMap((pair): readonly ChatTurn[] => {
    if (!Array.isArray(pair) || pair.length !== 2)
      throw new BadRow(`"${column}" holds ${show(pair)}; expected pairs of a question and its answer`);
    return [
      { role: "user", content: stringOf(column, pair[0]) },
      { role: "assistant", content: stringOf(column, pair[1]) },
    ];
  });
}
