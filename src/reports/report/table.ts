import { escapeXml } from "../figures/theme.js";

/** A table once, for the page, for a spreadsheet and for a paper. The first column is text, the others are numbers. */
export interface Table {
  /** File name without ending. */
  readonly id: string;
  readonly title: string;
  readonly caption: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** How many columns at the left are text; 1 if not given. */
  readonly text_columns?: number;
}

export function htmlTable({ title, caption, header, rows, text_columns = 1 }: Table): string {
  const cells = (row: readonly string[]): string =>
    header
      .map((_, i) =>
        i === 0
          ? `<th scope="row">${escapeXml(row[i] ?? "")}</th>`
          : `<td${i < text_columns ? ' class="text"' : ""}>${escapeXml(row[i] ?? "")}</td>`,
      )
      .join("");
  const heads = header.map(
    (name, i) => `<th scope="col"${i < text_columns ? ' class="text"' : ""}>${escapeXml(name)}</th>`,
  );
  return [
    `<figure class="table"><figcaption><strong>${escapeXml(title)}</strong> ${escapeXml(caption)}</figcaption>`,
    `<div class="scroll" tabindex="0" role="region" aria-label="${escapeXml(title)}"><table><thead><tr>${heads.join("")}</tr></thead><tbody>`,
    ...rows.map((row) => `<tr>${cells(row)}</tr>`),
    "</tbody></table></div></figure>",
  ].join("");
}

/** RFC 4180, with the titles in the first line. */
export const csvTable = ({ header, rows }: Pick<Table, "header" | "rows">): string =>
  [header, ...rows].map((row) => `${row.map(csvCell).join(",")}\r\n`).join("");

/** A cell that a spreadsheet would take for a formula is marked as text. */
const csvCell = (cell: string): string => {
  const safe = /^[=+@\t\r]|^-(?![\d.])/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

/** For the package booktabs. */
export function latexTable({ title, caption, header, rows, text_columns = 1 }: Table): string {
  const line = (cells: readonly string[]): string =>
    `${header.map((_, i) => latexText(cells[i] ?? "")).join(" & ")} \\\\`;
  return [
    "\\begin{table}",
    "  \\centering",
    `  \\caption{${latexText(`${title}. ${caption}`)}}`,
    `  \\begin{tabular}{${header.map((_, i) => (i < text_columns ? "l" : "r")).join("")}}`,
    "    \\toprule",
    `    ${line(header)}`,
    "    \\midrule",
    ...rows.map((row) => `    ${line(row)}`),
    "    \\bottomrule",
    "  \\end{tabular}",
    "\\end{table}",
    "",
  ].join("\n");
}

const latexSpecial: Readonly<Record<string, string>> = {
  ...{ "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" },
  ...{ "±": "$\\pm$", "−": "$-$", "→": "$\\rightarrow$" },
};
const latexText = (text: string): string => text.replace(/[\\~^±−→]|[&%$#_{}]/g, (c) => latexSpecial[c] ?? `\\${c}`);
