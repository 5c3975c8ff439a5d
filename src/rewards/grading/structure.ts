import { function_words, words } from "./plain-text.js";

/** What an answer is made of; every text went through `plainText`. */
export type Answer =
  /** A number, an expression, or words. */
  | { readonly kind: "leaf"; readonly text: string }
  /** Without order: "1, 2", "1 or 2", "{1, 2}" (there, nothing counts twice); a union's parts. */
  | { readonly kind: "list" | "set" | "union"; readonly items: readonly Answer[] }
  /** In order, with its brackets: a point, an interval ("x >= 0" is one, and knows its variable), or "3:4". */
  | {
      readonly kind: "tuple";
      readonly open: string;
      readonly close: string;
      readonly items: readonly Answer[];
      readonly variable?: string;
    }
  /** "x = 3", "x in [1,2]", "area = 12" */
  | { readonly kind: "labelled"; readonly label: string; readonly value: Answer; readonly text: string }
  | { readonly kind: "equation"; readonly left: string; readonly right: string }
  | { readonly kind: "relation"; readonly operator: string; readonly left: string; readonly right: string };

const deepest = 6;
const most_items = 50;

/** Splits by the outermost structure first; whatever has none is a leaf. */
export function parseAnswer(text: string, depth = 0): Answer {
  const leaf: Answer = { kind: "leaf", text };
  if (depth > deepest) return leaf;
  const parse = (part: string): Answer => parseAnswer(part.trim(), depth + 1);
  const all = (parts: readonly string[]): Answer[] => parts.map(parse);
  if (/^(?:\u211d|(?:all )?real numbers)$/i.test(text)) return interval("(", "-\u221e", "\u221e", ")");

  const member = /^([^\u2208]{1,20})\u2208(.+)$/.exec(text);
  if (member !== null && isLabel(member[1]!)) return labelled(member[1]!, parse(member[2]!), text);

  const unions = split(text, /\u222a/);
  if (unions.length > 1) return { kind: "union", items: all(unions) };
  const alternatives = split(text, /,? (?:or|and) (?=.)|;/i);
  const parts = alternatives.length > 1 ? alternatives.flatMap(commas) : commas(text);
  if (parts.length > most_items) return leaf;
  if (parts.length > 1) return listOf(parts, parse, text);

  return (
    relation(text) ??
    equation(text, parse) ??
    plusOrMinus(text, parse) ??
    bracketed(text, parse) ??
    proportion(text, parse) ??
    leaf
  );
}

function listOf(parts: readonly string[], parse: (part: string) => Answer, text: string): Answer {
  const items = parts.map(parse);
  if (items.every(isInterval)) return { kind: "union", items };
  const [first, ...rest] = items;
  if (first?.kind === "labelled" && rest.every(({ kind }) => kind === "leaf"))
    return labelled(first.label, { kind: "list", items: [first.value, ...rest] }, text); // x = 1, 2
  return { kind: "list", items };
}

const isInterval = (item: Answer): boolean =>
  item.kind === "tuple" &&
  (item.variable !== undefined || item.items.some((end) => end.kind === "leaf" && end.text.endsWith("\u221e")));

const labelled = (label: string, value: Answer, text: string): Answer => ({
  kind: "labelled",
  label: label.replace(/ /g, ""),
  value,
  text,
});

/** A name without a number in it, apart from indices and arguments: "x", "S_{1}", "f(2)", "angle A", "(x, y)". */
export function isLabel(text: string): boolean {
  const bare = text
    .replace(/_ ?(?:\{[^{}]*\}|\w)/g, "")
    .replace(/(?<=\p{L})\([^()]*\)/gu, "")
    .trim();
  if (bare.length > 40 || !/^\(?[\\\p{L}\u2220\u25b3][\\\p{L}\u2220\u25b3' ,]*\)?$/u.test(bare)) return false;
  return (
    !/\\(?:d?frac|sqrt|pi|cdot|times)(?![a-z])/.test(bare) && !words(bare).some((word) => function_words.has(word))
  );
}

/** Commas separate, unless the whole is one number with thousands: "1,000". */
function commas(text: string): string[] {
  const number = /^[-+]? ?[\u20ac\u00a3\u00a5\uff04]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])(.*)$/s.exec(text);
  if (number !== null && !number[1]!.includes(",")) return [text];
  return split(text, /,|\uff0c|\u3001/).map((part) => part.trim().replace(/^(?:and|or) /i, ""));
}

/** Splits where `separator` stands outside all brackets; `[text]` where there is none, or a part is empty. */
export function split(text: string, separator: RegExp): string[] {
  if (!separator.test(text)) return [text];
  const sticky = new RegExp(separator.source, `${separator.flags.replace("g", "")}y`);
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if ("([{\u27e8".includes(character)) depth += 1;
    else if (")]}\u27e9".includes(character)) depth -= 1;
    sticky.lastIndex = at;
    const match = depth === 0 ? sticky.exec(text) : null;
    if (match === null) continue;
    parts.push(text.slice(start, at));
    start = at + match[0].length;
    at = start - 1;
  }
  parts.push(text.slice(start));
  return depth === 0 && parts.every((part) => part.trim() !== "") ? parts.map((part) => part.trim()) : [text];
}

function interval(open: string, low: string, high: string, close: string, variable?: string): Answer {
  const items: Answer[] = [low, high].map((text) => ({ kind: "leaf", text }));
  return { kind: "tuple", open, close, items, ...(variable === undefined ? {} : { variable }) };
}

/** "1 < x <= 2", "x >= 0", "x + y < 3" */
function relation(text: string): Answer | undefined {
  const operators = text.match(/[<>\u2264\u2265\u2260]/g) ?? [];
  const sides = split(text, /[<>\u2264\u2265\u2260]/);
  if (sides.length !== operators.length + 1 || sides.length < 2 || sides.length > 3) return undefined;
  const [first = "", second = "", third] = sides;
  const [one = "", two = ""] = operators;
  const rising = (operator: string): boolean => operator === "<" || operator === "\u2264";
  const strict = (operator: string): boolean => operator === "<" || operator === ">";
  if (third !== undefined) {
    if (!isLabel(second) || rising(one) !== rising(two) || one === "\u2260" || two === "\u2260") return undefined;
    const [low, from, to, high] = rising(one) ? [first, one, two, third] : [third, two, one, first];
    return interval(strict(from) ? "(" : "[", low, high, strict(to) ? ")" : "]", second);
  }
  const left = isLabel(first);
  if (one !== "\u2260" && left !== isLabel(second)) {
    const [name, bound] = left ? [first, second] : [second, first];
    const open = strict(one);
    return rising(one) === left
      ? interval("(", "-\u221e", bound, open ? ")" : "]", name)
      : interval(open ? "(" : "[", bound, "\u221e", ")", name);
  }
  if (one === ">" || one === "\u2265")
    return { kind: "relation", operator: one === ">" ? "<" : "\u2264", left: second, right: first };
  return { kind: "relation", operator: one, left: first, right: second };
}

function equation(text: string, parse: (part: string) => Answer): Answer | undefined {
  const sides = split(text, /=| (?:is|equals) /);
  if (sides.length < 2) return undefined;
  const [left = "", right = ""] = [sides[0], sides.at(-1)];
  if (isLabel(left)) return labelled(left, parse(right), text);
  if (sides.length === 2 && isLabel(right)) return labelled(right, parse(left), text);
  return { kind: "equation", left, right };
}

/** "2 +- sqrt 3" is two answers. */
function plusOrMinus(text: string, parse: (part: string) => Answer): Answer | undefined {
  const parts = text.split("\u00b1");
  if (parts.length !== 2) return undefined;
  const [before = "", after = ""] = parts.map((part) => part.trim());
  return {
    kind: "list",
    items: [parse(before === "" ? after : `${before} + ${after}`), parse(`${before} - ${after}`)],
  };
}

/** "(1, 2)", "[0, 1)", "\{1, 2\}", "\{x | x > 0\}", "A(1, 2)"; brackets around one thing alone are dropped. */
function bracketed(text: string, parse: (part: string) => Answer): Answer | undefined {
  const point = /^([A-Z]'?)(\(.*\))$/.exec(text);
  if (point !== null && split(point[2]!.slice(1, -1), /,/).length > 1)
    return labelled(point[1]!, parse(point[2]!), text);
  const match = /^(\\\{|[([\u27e8])(.*?)(\\\}|[)\]\u27e9])$/s.exec(text);
  if (match === null) return undefined;
  const [, open = "", inner = "", close = ""] = match;
  if ((open === "\\{") !== (close === "\\}") || !enclosed(inner)) return undefined;
  if (open === "\\{") {
    const condition = /^ ?([a-z]) ?(?:\u2208 ?\u211d ?)?[|:] ?(.*)$/i.exec(inner);
    if (condition !== null) return parse(condition[2]!);
    return { kind: "set", items: split(inner, /,|;/).map(parse) };
  }
  const items = split(inner, /,|;/);
  if (items.length > 1) return { kind: "tuple", open, close, items: items.map(parse) };
  return open === "(" && close === ")" ? parse(inner) : undefined;
}

/** Whether no bracket closes before it was opened: "1)(2" is no inside. */
function enclosed(inner: string): boolean {
  let depth = 0;
  for (const character of inner) {
    if ("([{\u27e8".includes(character)) depth += 1;
    else if (")]}\u27e9".includes(character) && --depth < 0) return false;
  }
  return depth === 0;
}

/** "3:4"; equal if proportional. */
function proportion(text: string, parse: (part: string) => Answer): Answer | undefined {
  const terms = split(text, /:/);
  if (terms.length < 2 || terms.length > 5 || !terms.every((term) => /\d|\\sqrt|^[a-z]$/.test(term))) return undefined;
  return { kind: "tuple", open: ":", close: ":", items: terms.map(parse) };
}
