/** Notation that does not change what an answer means, taken away or brought to one spelling. */

/** One spelling for each symbol; relations and set operators become single characters, the rest stays LaTeX. */
const spellings: readonly (readonly [RegExp, string])[] = [
  [/\\leqslant(?![a-z])|\\leq?(?![a-z])|<=/g, "\u2264"],
  [/\\geqslant(?![a-z])|\\geq?(?![a-z])|>=/g, "\u2265"],
  [/\\lt(?![a-z])/g, "<"],
  [/\\gt(?![a-z])/g, ">"],
  [/\\neq?(?![a-z])|!=/g, "\u2260"],
  [/\\infty(?![a-z])/g, "\u221e"],
  [/\\cup(?![a-z])/g, "\u222a"],
  [/\\pm(?![a-z])|\+\/-/g, "\u00b1"],
  [/\\in(?![a-z])/g, "\u2208"],
  [/\\emptyset|\\varnothing|\u00d8/g, "\u2205"],
  [/\\mathbb ?\{?R\}?|\\R(?![a-z])/gi, "\u211d"],
  [/\\approx(?![a-z])/g, "\u2248"],
  [/\\angle(?![a-z])/g, "\u2220"],
  [/\\triangle(?![a-z])|\u25b3/g, "\u25b3 "],
  [/\\langle(?![a-z])/g, "\u27e8"],
  [/\\rangle(?![a-z])/g, "\u27e9"],
  [/\\lbrace(?![a-z])/g, "\\{"],
  [/\\rbrace(?![a-z])/g, "\\}"],
  [/\\mid(?![a-z])/g, "|"],
  [/\u03c0/g, "\\pi "],
  [/\u221a/g, "\\sqrt "],
  [/\u00d7/g, "\\times "],
  [/\\div(?![a-z])|\u00f7|\u2044/g, "/"],
  [/[\u00b7\u22c5]/g, "\\cdot "],
  [/\u00bd/g, "\\frac{1}{2}"],
  [/\u00bc/g, "\\frac{1}{4}"],
  [/\u00be/g, "\\frac{3}{4}"],
  [/\u00b2/g, "^2"],
  [/\u00b3/g, "^3"],
];

/** Stands for the "\\\\" that ends a row of a matrix. */
export const row_end = "\u241e";

/** LaTeX and Markdown wrappers, Unicode variants, surplus space, closing punctuation. Keeps case. */
export function plainText(text: string): string {
  let plain = text
    .replaceAll("\\\\", row_end)
    .replace(/[\uff01-\uff5e]/g, (wide) => String.fromCharCode(wide.charCodeAt(0) - 0xfee0))
    .replace(/[\u2212\u2013\ufe63]/g, "-")
    .replace(/\*\*(?!\s*[\w(])|(?<![\w)]\s*)\*\*|`/g, "") // emphasis; a power stands between two terms
    .replace(/\\\$|^\s*\$(?=\d[^$]*$)/g, "\uff04") // an amount, not a delimiter
    .replace(/\\left(?![a-z])|\\right(?![a-z])|\\[()[\]!]|\$/g, "")
    .replace(/\\(?:displaystyle|,|;|:| |quad|qquad)(?![a-z])|~|\u00a0/g, " ")
    .replace(/\\([%#&])/g, "$1")
    .replaceAll("{,}", "")
    .replace(/\\[dtc]frac(?![a-z])/g, "\\frac")
    .replace(/\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname|mathit|bm)\s?\{([^{}]*)\}/g, " $1 ")
    .replace(/ ?\^ ?\{? ?\\circ ?\}?|\\degree|\\circ/g, "\u00b0");
  for (const [pattern, spelling] of spellings) plain = plain.replace(pattern, spelling);
  plain = plain.replace(/\s+/g, " ").trim();
  plain = plain.replace(/ ?[.,;:\u3002\uff0c]+$/, "").trim();
  plain = plain.replace(/^(?:about|approximately|approx\.?|roughly|exactly|only|just|\u2248|=) ?(?=[^\p{L}])/iu, "");
  plain = plain
    .replace(/(?<=\d) ?(?:"|'')$/, " in")
    .replace(/ (?:square |sq\.? |cubic )?units?(?: ?\^ ?\{?[23]\}?)?$/i, "");
  return withoutBraces(plain.replace(/^\\\{ ?\\\}$/, "\u2205"));
}

/** "{12}" is 12; "{1,2}" was meant as a set. */
function withoutBraces(text: string): string {
  if (!/^\{[^{}]*\}$/.test(text)) return text;
  return text.includes(",") ? `\\{${text.slice(1, -1)}\\}` : text.slice(1, -1).trim();
}

/** For comparing `plainText` as text: spaces beside punctuation do not count, nor the case of words. */
export function comparable(plain: string): string {
  const text = plain
    .replace(/(?<=[^\p{L}\p{N}\s]) | (?=[^\p{L}\p{N}\s])/gu, "")
    .replace(/^\+(?=[\d\u221e])/, "")
    .replace(/(?<=\p{L})[!?]+$/u, "")
    .replace(/^(?:an?|the) (?=\p{L}{2})/iu, "");
  const choice = /^\(?([a-z])\)?$/i.exec(text)?.[1];
  return choice?.toLowerCase() ?? (words(text).some((word) => word.length > 1) ? text.toLowerCase() : text);
}

/** "B", "(b)", "B)", "option B": the letter, in lower case; "(B) 12 cm": also what stands behind it. */
export function choice(plain: string): { readonly letter: string; readonly content: string } | undefined {
  const match =
    /^(?:(?:[Tt]he )?(?:correct )?(?:[Oo]ption|[Cc]hoice|[Aa]nswer) )?(\()?([A-Za-z])(\))?(?:([.):]) ?| |$)(.*)$/s.exec(
      plain,
    );
  if (match === null) return undefined;
  const [, open, letter = "", close, mark, content = ""] = match;
  const marked = (open !== undefined && close !== undefined) || mark !== undefined || close !== undefined;
  if (content !== "" && (!marked || !/[A-H]/.test(letter))) return undefined;
  return { letter: letter.toLowerCase(), content: content.trim() };
}

/** Functions and constants that are written out as words. */
export const function_words = new Set(
  "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp sqrt pi max min".split(" "),
);

/** Runs of letters that are neither LaTeX commands nor functions. */
export function words(text: string): string[] {
  return (text.replace(/\\[a-z]+/gi, " ").match(/\p{L}+/gu) ?? []).filter(
    (word) => !function_words.has(word.toLowerCase()),
  );
}
