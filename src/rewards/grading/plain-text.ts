/** Notation that does not change what an answer means, taken away. */

/** LaTeX and Markdown wrappers, Unicode variants, surplus space, closing punctuation. Keeps case. */
export function plainText(text: string): string {
  const plain = text
    .replace(/[\uff01-\uff5e]/g, (wide) => String.fromCharCode(wide.charCodeAt(0) - 0xfee0))
    .replace(/[\u2212\u2013\ufe63]/g, "-")
    .replaceAll("\u2044", "/")
    .replace(/\*\*|`/g, "")
    .replace(/\\left(?![a-z])|\\right(?![a-z])|\\[()[\]!]|\\?\$/g, "")
    .replace(/\\[,;: ]|~/g, " ")
    .replace(/\\([%#&])/g, "$1")
    .replaceAll("{,}", ",")
    .replace(/\\[dtc]frac/g, "\\frac")
    .replace(/\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|operatorname)\{([^{}]*)\}/g, " $1 ")
    .replace(/\^\{?\\circ\}?|\\degree/g, "°")
    .replace(/\s+/g, " ");
  return withoutBraces(plain.replace(/[.,;:!\u3002\uff0c]+ ?$/, "").trim());
}

const withoutBraces = (text: string): string => (/^\{[^{}]*\}$/.test(text) ? text.slice(1, -1).trim() : text);

/** For comparing as text: case and the spaces beside punctuation do not count. */
export function comparable(text: string): string {
  const plain = plainText(text)
    .toLowerCase()
    .replace(/ ?([^\p{L}\p{N}\s]) ?/gu, "$1");
  return /^\(?([a-z])\)?$/.exec(plain)?.[1] ?? plain; // a choice: "B", "(b)", "B)"
}
