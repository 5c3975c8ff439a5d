/** How the final answer of a completion was found. */
export type FinalAnswerRule = "boxed" | "answer_is" | "after_think" | "whole_text" | "last_number";

export interface FinalAnswer {
  readonly rule: FinalAnswerRule;
  readonly text: string;
}

/**
 * The readings of a completion's final answer; it is right if one of them is. In the text after the last `</think>`,
 * or in all of it where there is none:
 *   boxed        the last complete \boxed{...}
 *   answer_is    else what follows the last "answer is", "answer:" or "answer =", to the end of the sentence
 *   after_think  else all of the text (`whole_text` where there is no `</think>`), or
 *   last_number  the last number in it
 * A thought that is never closed leaves only the first two: its last number is not an answer. A box that is never
 * closed is no answer at all. Linear in the length.
 */
export function finalAnswers(completion: string): readonly FinalAnswer[] {
  const end = completion.lastIndexOf("</think>");
  const text = end < 0 ? completion : completion.slice(end + "</think>".length);

  const boxed = lastBoxed(text);
  if (boxed !== undefined) return boxed === "" ? [] : [{ rule: "boxed", text: boxed }];
  const clause = lastAnswerClause(text);
  if (clause !== undefined) {
    const number = firstNumber(clause.slice(clause.lastIndexOf("=") + 1));
    const readings = number === undefined || number === clause ? [clause] : [clause, number];
    return readings.map((reading) => ({ rule: "answer_is", text: reading }));
  }
  if (text.trim() === "" || text.includes("<think>")) return [];
  const all: FinalAnswer = { rule: end < 0 ? "whole_text" : "after_think", text: text.trim() };
  const number = lastNumber(text);
  return number === undefined ? [all] : [all, { rule: "last_number", text: number }];
}

/**
 * Content of the \boxed{...} that starts last, of those that are closed; braces are balanced, "\{" is skipped.
 * "" if none is closed, undefined if there is no box.
 */
function lastBoxed(text: string): string | undefined {
  const marker = "\\boxed";
  const first = text.indexOf(marker);
  if (first < 0) return undefined;
  const open: number[] = []; // start of each open brace's content; negative: not a box
  let found: { readonly start: number; readonly end: number } | undefined;
  for (let at = first; at < text.length; at++) {
    const character = text[at];
    if (character === "\\" && !text.startsWith(marker, at)) at += 1;
    else if (character === "{") open.push(isAfter(text, marker, at) ? at + 1 : -1);
    else if (character === "}") {
      const start = open.pop() ?? -1;
      if (start >= 0 && (found === undefined || start > found.start)) found = { start, end: at };
    }
  }
  return found === undefined ? "" : text.slice(found.start, found.end);
}

/** Whether `marker`, or it and one space, ends right before `at`. */
const isAfter = (text: string, marker: string, at: number): boolean =>
  text.endsWith(marker, at) || (text[at - 1] === " " && text.endsWith(marker, at - 1));

function lastAnswerClause(text: string): string | undefined {
  let start = -1;
  for (const match of text.matchAll(/\banswer\b[\s*_]*(?:is\b|:|=)[\s*_:]*/gi)) start = match.index + match[0].length;
  if (start < 0) return undefined;
  const rest = text.slice(start);
  const end = rest.search(/[.!?;](?=\s|$)|[\n\u3002]/);
  const clause = (end < 0 ? rest : rest.slice(0, end)).trim();
  return clause === "" ? undefined : clause;
}

/** Sign (where it cannot be a minus between two terms), digits with or without thousands separators, fraction, percent. */
const number_pattern =
  /(?:(?<![\p{L}\d)\]}.,])[-+\u2212])?(?:\\[dtc]?frac\{[\d.,]{1,40}\}\{[\d.,]{1,40}\}|(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:\s?\/\s?\d+)?|\.\d+)(?:\s?%)?/gu;

const firstNumber = (text: string): string | undefined => new RegExp(number_pattern, "u").exec(text)?.[0];

function lastNumber(text: string): string | undefined {
  let last: string | undefined;
  for (const match of text.matchAll(number_pattern)) last = match[0];
  return last;
}
