import { isProse, lastMathIn, onlyMathIn } from "./prose.js";

/** How the final answer of a completion was found. */
export type FinalAnswerRule =
  "boxed" | "answer_tag" | "answer_is" | "after_think" | "whole_text" | "choice" | "last_number";

export interface FinalAnswer {
  readonly rule: FinalAnswerRule;
  readonly text: string;
}

/**
 * The readings of a completion's final answer; it is right if one of them is. In the text after the last `</think>`,
 * or in all of it where there is none, the first of these rules that applies:
 *   boxed        the last \boxed{...}; several joined by "," "and" "or" are a list
 *   answer_tag   the last <answer>...</answer>
 *   answer_is    what follows the last "answer is", "answer:", "answer =", "####", to the end of the sentence
 *   after_think  all of the text (`whole_text` where there is no `</think>`); and, where that is a sentence,
 *   choice       the last "option C" or "(C)", or a leading "Yes,", or
 *   last_number  the last number or formula in it, with its unit
 * Where one of the first three finds a sentence, its only number is a second reading. A thought that is never closed
 * leaves only the first three. A last box that is never closed is no answer at all. Linear in the length.
 */
export function finalAnswers(completion: string): readonly FinalAnswer[] {
  const end = completion.lastIndexOf("</think>");
  const text = end < 0 ? completion : completion.slice(end + "</think>".length);

  const boxed = lastBoxed(text);
  if (boxed !== undefined) return readings("boxed", boxed);
  const tag = lastTag(text);
  if (tag !== undefined) return readings("answer_tag", tag);
  const clause = lastAnswerClause(text);
  if (clause !== undefined) return readings("answer_is", clause);
  if (text.trim() === "" || text.includes("<think>")) return [];
  const all: FinalAnswer = { rule: end < 0 ? "whole_text" : "after_think", text: text.trim().replace(opening, "") };
  if (!isProse(all.text)) return [all];
  const letter = lastChoice(text) ?? /^(yes|no|true|false)\b[,.;:]/i.exec(all.text)?.[1];
  if (letter !== undefined) return [all, { rule: "choice", text: letter }];
  const number = lastMathIn(text);
  return number === undefined ? [all] : [all, { rule: "last_number", text: number }];
}

const opening = /^(?:(?:therefore|thus|so|hence|then|it's|it is|we get|we have)\b[,:]? ?){1,3}(?=\S)/i;

function readings(rule: FinalAnswerRule, text: string): readonly FinalAnswer[] {
  if (text.trim() === "") return [];
  const first: FinalAnswer = { rule, text };
  const inner = isProse(text) && text.length < 2000 ? onlyMathIn(text) : undefined;
  return inner === undefined || inner === text ? [first] : [first, { rule, text: inner }];
}

/**
 * Content of the \boxed{...} that starts last; braces are balanced, "\{" is skipped. "" if that one is never closed,
 * undefined if there is no box.
 */
function lastBoxed(text: string): string | undefined {
  const first = /\\(?:boxed|fbox)/.exec(text)?.index;
  if (first === undefined) return undefined;
  const open: number[] = []; // start of each open brace's content; negative: not a box
  const found: { readonly start: number; readonly end: number }[] = [];
  let last = -1; // where the last marker stands
  for (let at = first; at < text.length; at++) {
    const character = text[at];
    if (character === "\\") {
      const marker = text.startsWith("\\boxed", at) ? 6 : text.startsWith("\\fbox", at) ? 5 : 0;
      if (marker > 0) last = at;
      at += marker > 0 ? marker - 1 : 1;
    } else if (character === "{")
      open.push(/\\(?:boxed|fbox) ?$/.test(text.slice(Math.max(0, at - 8), at)) ? at + 1 : -1);
    else if (character === "}") {
      const start = open.pop() ?? -1;
      if (start >= 0) found.push({ start, end: at });
    }
  }
  found.sort((a, b) => a.start - b.start);
  const box = found.at(-1);
  if (box === undefined || box.start < last) return "";
  let from = found.length - 1;
  while (from > 0 && isJoined(text, found[from - 1]!.end, found[from]!.start)) from -= 1;
  return found
    .slice(from)
    .map(({ start, end }) => text.slice(start, end))
    .join(", ");
}

/** Whether only "," "and" "or" stands between two boxes. */
const isJoined = (text: string, end: number, start: number): boolean =>
  start - end < 40 &&
  start > end &&
  /^\}[\s$]*(?:,|and|or|, ?and|, ?or|\\text\{ ?(?:and|or) ?\})[\s$]*\\f?box(?:ed)? ?\{$/.test(text.slice(end, start));

function lastTag(text: string): string | undefined {
  const end = text.lastIndexOf("</answer>");
  const start = end < 0 ? -1 : text.lastIndexOf("<answer>", end);
  return start < 0 ? undefined : text.slice(start + "<answer>".length, end).trim();
}

const phrase =
  /(?:\banswers?\b(?: to (?:the|this|that) (?:question|problem))?[\s*_]{0,20}(?:(?:is|are|equals|(?:would|should|must|will) be)\b(?: therefore| thus| then)?|:|=)|\bfinal answer\**[ \t]*\n|^####|\u7b54\u6848(?:\u662f|\u4e3a|\uff1a|:))[\s*_:]*/gim;

/** What follows the last phrase, up to the end of its sentence or a reason ("since ..."). */
function lastAnswerClause(text: string): string | undefined {
  let start = -1;
  for (const match of text.matchAll(phrase)) start = match.index + match[0].length;
  if (start < 0) return undefined;
  const rest = text.slice(start, start + 5000);
  const display = /^(?:\$\$([^$]*)\$\$|\\\[((?:[^\\]|\\[^\]])*)\\\])/.exec(rest);
  if (display !== null) return (display[1] ?? display[2] ?? "").trim() || undefined;
  const clause = rest
    .slice(0, endOfSentence(rest))
    .replace(/,? (?:since|because|as|so|which|where)\b.*$/s, "")
    .trim();
  return clause === "" ? undefined : clause;
}

function endOfSentence(text: string): number {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (character === "\n" || character === "\u3002") return at;
    if ("([{".includes(character)) depth += 1;
    else if (")]}".includes(character)) depth -= 1;
    else if (
      ".!?;".includes(character) &&
      (depth <= 0 || character !== ";") &&
      /^[*_"']*(?:\s|$)/.test(text.slice(at + 1, at + 6))
    )
      return at;
  }
  return text.length;
}

/** The last "option C" or "choice (C)", or a "(C)" in the last line. */
function lastChoice(text: string): string | undefined {
  const named = [...text.matchAll(/\b(?:option|choice)\s{1,3}(?:is\s{1,3})?\(?([A-H])\b/gi)].at(-1)?.[1];
  const last_line = text.trim().split("\n").at(-1) ?? "";
  return named ?? [...last_line.slice(-2000).matchAll(/(?<![\w\\}])\(([A-H])\)(?!\w)/g)].at(-1)?.[1];
}
