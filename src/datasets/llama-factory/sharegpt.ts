import type { ChatTurn } from "../../batches/sample.js";
import { BadRow } from "../reading/bad-row.js";
import { objectOf, show, stringOf } from "../reading/values.js";
import { commonParts, type Conversation } from "./conversation.js";
import type { Layout } from "./layout.js";

/** {conversations: [{from: human, value}, {from: gpt, value}, ...], system?, images?} @throws BadRow */
export function sharegptConversation(value: unknown, { columns, tags }: Layout, folder: string): Conversation {
  const row = objectOf(value, `{"${columns.messages}": [...]}`);
  const messages = row[columns.messages];
  if (!Array.isArray(messages))
    throw new BadRow(
      `"${columns.messages}" is ${messages === undefined ? "missing" : show(messages)}; expected a list of turns`,
    );
  const said = messages.map((message: unknown) => {
    const turn = objectOf(message, `{"${tags.role_tag}": ..., "${tags.content_tag}": ...}`);
    return { role: turn[tags.role_tag], content: stringOf(tags.content_tag, turn[tags.content_tag]) };
  });
  const common = commonParts(row, columns, folder);
  const first = said[0]?.role === tags.system_tag ? said.shift()!.content : undefined;
  if (said.length === 0 || said.length % 2 !== 0)
    throw new BadRow(`${said.length} turns; expected question and answer in alternation, an answer at the end`);
  const turns = said.map(({ role, content }, i): ChatTurn => {
    if (role === tags.observation_tag || role === tags.function_tag)
      throw new BadRow(`turn ${i + 1} is of role ${show(role)}; tool calls are not supported`);
    const expected = i % 2 === 0 ? tags.user_tag : tags.assistant_tag;
    if (role === expected) return { role: i % 2 === 0 ? "user" : "assistant", content };
    throw new BadRow(`turn ${i + 1} is of role ${show(role)}; expected "${expected}" (tags may name it otherwise)`);
  });
  return { ...common, turns, system_prompt: first ?? common.system_prompt };
}
