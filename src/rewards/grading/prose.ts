import { function_words, plainText, words } from "./plain-text.js";
import { parseUnit } from "./units.js";

/** Answers inside sentences. All of it is linear in the text's length. */

const negation = /\b(?:not|never|neither|nor|cannot|isn't|aren't|doesn't|can't|unless)\b|n't\b/i;
/** Characters from the end of a text in which its last number is looked for. */
const farthest = 3000;
const joining = new Set(["and", "or"]);

const refusal = /\b(?:cannot|can't|couldn't|could not|unable to|not able to|(?:do not|don't) know|not sure|no idea)\b/i;
const guess = /\b(?:could|might|may|maybe|perhaps|possibly)\b/i;

/** Whether a text reads as a sentence: two words or more that are neither units nor "and", "or". */
export function isProse(text: string): boolean {
  if (text.length > 1000) return true;
  if (/[\u4e00-\u9fff]{3}|[\u4e00-\u9fff] ?[-\d]/.test(text)) return true;
  const found = words(plainText(text)).filter((word) => word.length > 1 && !joining.has(word.toLowerCase()));
  return found.filter((word) => !/^(?:square|sq|cubic|percent|per|cent)$/i.test(word) && !known(word)).length > 1;
}

const known = (word: string): boolean => parseUnit(word)?.known === true;

/** The one number or formula of a sentence. Undefined if there are several, none, or a "not". */
export function onlyMathIn(clause: string): string | undefined {
  if (negation.test(clause)) return undefined;
  const spans = mathSpans(clause);
  const [span = ""] = spans;
  return spans.length === 1 && !bounded(clause, span) ? span : undefined;
}

/** "at least 20" and "20 or more" are not 20. */
function bounded(text: string, span: string): boolean {
  if (/ or$/i.test(span)) return true;
  const before = text.slice(0, Math.max(0, text.lastIndexOf(span))).slice(-20);
  return /\b(?:at (?:least|most)|(?:more|less|greater|fewer|smaller|larger) than|between|up to|over|under|from)[\s$]*$/i.test(
    before,
  );
}

/** The last number or formula of a text, unless its sentence says "not" or guesses, or the text gives up. */
export function lastMathIn(whole: string): string | undefined {
  const text = whole.slice(-farthest);
  const span = mathSpans(text).at(-1);
  if (span === undefined || bounded(text, span) || refusal.test(text.slice(-600))) return undefined;
  const before = text.slice(0, Math.max(0, text.lastIndexOf(span)));
  const sentence = before.slice(Math.max(before.lastIndexOf("\n"), before.lastIndexOf(". ")) + 1).slice(-300);
  return guess.test(sentence) || negation.test(sentence.split(/[,;]/).at(-1) ?? "") ? undefined : span;
}

const cjk = "\\u3000-\\u303f\\u4e00-\\u9fff\\uff0c\\uff1a\\uff1b\\uff1f\\uff01";
const token_pattern = new RegExp(
  [
    "\\$\\$[^$]{1,300}\\$\\$",
    "\\$(?![\\s$])[^$\\n]{0,300}(?<=[^\\s$])\\$(?!\\d)",
    "\\\\\\((?:[^\\\\]|\\\\[^)]){1,300}\\\\\\)",
    "\\\\\\[(?:[^\\\\]|\\\\[^\\]]){1,300}\\\\\\]",
    `[${cjk}]+`,
    `[^\\s${cjk}]+`,
  ].join("|"),
  "g",
);

/** Runs of numbers, operators, LaTeX and single letters that hold a digit or stand in math delimiters, with their units. */
function mathSpans(text: string): string[] {
  const spans: string[] = [];
  let run: string[] = [];
  let unit: string[] | undefined; // units that follow the run
  const close = (): void => {
    const span = [...run, ...(unit ?? [])].join(" ");
    if (run.some((token) => /\d|^\$|^\\[([]/.test(token))) spans.push(trimmed(span));
    [run, unit] = [[], undefined];
  };
  for (const [token] of text.matchAll(token_pattern)) {
    const bare = (/^\W$/.test(token) ? token : token.replace(/^[*_"'`]+|[*_"'`]+$/g, "")).replace(
      /(?<!^[$\\].{0,400})[.;:!?,]+[*_"'`]*$/,
      "",
    );
    const ends = /[.;:!?][*_"'`)]*$/.test(token) && !/^[$\\]/.test(token);
    if (unit === undefined && isMath(bare, run.length > 0)) {
      if (/,[*_]*$/.test(token)) run.push(`${bare},`);
      else run.push(bare);
    } else if (
      run.length > 0 &&
      bare !== "in" &&
      bare !== "a" &&
      (known(bare) || /^(?:square|cubic|%|percent)$/.test(bare)) &&
      !run.at(-1)!.endsWith(",")
    )
      (unit ??= []).push(bare);
    else {
      if (run.length > 0 && joining.has(bare.toLowerCase())) run.push(bare);
      else close();
      continue;
    }
    if (ends) close();
  }
  close();
  return spans.filter((span) => span !== "");
}

/** Without a dangling "and", comma or operator; without the "=" that led to it. */
const trimmed = (span: string): string =>
  span
    .replace(/(?:\s*(?:,|\band\b|[=+*/<>-]))+$/, "")
    .replace(/^[=:+*/]\s*/, "")
    .replace(/^(?=[^()]*\))[^()]*\)\s*/, "")
    .replace(/\s*\((?=[^()]*$)[^()]*$/, "")
    .trim();

function isMath(token: string, inside: boolean): boolean {
  if (/^\$|^\\[([]/.test(token)) return true;
  if (token === "" || words(token).some((word) => word.length > 3 && !function_words.has(word))) return false;
  if (/^[\p{L}'-]+$/u.test(token))
    return /^[b-hj-zB-HJ-Z]$/.test(token) || (inside && /^[a-z]{2}$/.test(token) && token === "pi");
  return /\d|\\[a-z]|^[-+*/=<>\u2264\u2265\u00d7\u00b1\u03c0|^]+$/i.test(token) || /^[a-z][=<>+*/^-].*$/i.test(token);
}
