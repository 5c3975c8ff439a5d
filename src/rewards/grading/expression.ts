/** Brings plain text to LaTeX that the parser reads safely: a known vocabulary, balanced, short. */

/** Longer answers are compared as text only. */
export const longest_expression = 160;
const deepest = 12;
const commands = new Set(
  (
    "frac sqrt cdot times pi sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp binom alpha beta " +
    "gamma delta epsilon theta lambda mu rho sigma tau phi varphi omega"
  ).split(" "),
);
const called = /\\(?:sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|sinh|cosh|tanh|log|ln|lg|exp)(?![a-z])/;

/** Operators without operands, empty groups, chains of signs: the parser tries every reading of them. */
const malformed =
  /[-+/^_({[]\s*[)}\]/!^]|\\(?:cdot|times|frac|sqrt)\s*(?:[)}\]/!^+]|$)|^\s*[/!^_)}\]]|[-+/^_]\s*$|[-+!](?:\s*[-+!]){2}|\+\s*\+|(?<!\d)\.|\.\d*\.|\)\s*[\d.]/;

/**
 * Undefined where the text is no expression, or one that is not compared as algebra: words; a digit after a space
 * ("2 3"); "1/2x", which may be (1/2)x or 1/(2x); anything long, deep or unbalanced, which the parser is slow on.
 */
export function toLatex(text: string): string | undefined {
  if (text.length > longest_expression || !/^[\w\s.+\-*/^{}()[\]|!\u00b0\\]+$/.test(text)) return undefined;
  const latex = text
    .replace(/\*\*/g, "^")
    .replace(/\*/g, " \\cdot ")
    .replace(/(?<![\\a-z])(a?(?:rc)?(?:sin|cos|tan)h?|cot|sec|csc|log|ln|lg|exp|sqrt|pi)(?![a-z])/g, "\\$1 ")
    .replace(/\^ ?(-?\d{2,}|-\d)/g, "^{$1}")
    .replace(/_ ?([A-Za-z0-9])/g, "_{$1}")
    .replace(/(?<!\d)\.(?=\d)/g, "0.")
    .replace(/(\d)e([-+]?\d{1,2})(?![\d.])/gi, "$1 \\cdot 10^{$2}");
  if (!(latex.match(/\\[a-z]+/gi) ?? []).every((command) => commands.has(command.slice(1)))) return undefined;
  const letters = latex.replace(/\\[a-z]+/gi, " ").replace(/_\{\w{1,8}\}/g, " ");
  if (/\p{L}{4}/u.test(letters) || (/\p{L}{2}/u.test(letters) && !/[\d\\+*/^-]/.test(latex))) return undefined;
  if (/\d\s+[\d.]|\\\\|\\[^a-z]|[/]\s*\d[\d.]*\s*[a-z\\({]|\.\s*\.|_(?!\{\w{1,8}\})/i.test(latex)) return undefined;
  if (/\d ?e ?[-+]?\d/i.test(latex) || /\d{60}/.test(latex)) return undefined; // the parser writes them out
  if (malformed.test(latex)) return undefined;
  return grouped(latex.replace(/(?:\u00b0)/g, "^{\\circ}"));
}

/**
 * Parentheses become groups, and a function with its argument in parentheses becomes a group of its own, so that
 * "\sin(x)(x+1)" is no sine of a product. Undefined if brackets do not match or nest too deep.
 */
function grouped(latex: string): string | undefined {
  const open: string[] = []; // the bracket expected next, and how it is written
  let result = "";
  let at = 0;
  while (at < latex.length) {
    const rest = latex.slice(at);
    const call = new RegExp(`^${called.source}\\s*(?:[_^]\\s*(?:\\w|\\{[^{}]*\\}))?\\s*\\(`).exec(rest);
    const root = /^\\sqrt\s*\[([\d]{1,2})\]/.exec(rest);
    if (call !== null) {
      result += `{${call[0].slice(0, -1)}{`;
      open.push(")}}");
      at += call[0].length;
    } else if (root !== null) {
      result += root[0];
      at += root[0].length;
    } else {
      const character = rest[0]!;
      if (character === "|") {
        const inside = open.at(-1) === "|}\\right|";
        result += inside ? "}\\right|" : "\\left|{";
        if (inside) open.pop();
        else open.push("|}\\right|");
      } else if ("([{".includes(character)) {
        open.push({ "(": ")}", "[": "]}", "{": "}}" }[character]!.slice(0, 2));
        result += "{";
      } else if (")]}".includes(character)) {
        const expected = open.pop();
        if (expected?.[0] !== character) return undefined;
        result += expected.slice(1);
      } else result += character;
      at += 1;
    }
    if (open.length > deepest) return undefined;
  }
  return open.length === 0 ? result : undefined;
}
