/** Colours of lines, by index: told apart on white and, lighter, on near-black; neighbours differ for the colour-blind too. */
export const palette = {
  light: ["#2464c9", "#c9541c", "#14805a", "#a8338a", "#7d6312", "#5b4bc0", "#0b7f8f", "#b53333"],
  dark: ["#7aabff", "#ff9c6b", "#57c796", "#e68bcb", "#d3b45f", "#aaa2ff", "#55c8d6", "#ff8a8a"],
} as const;

export interface FigureColours {
  readonly text: string;
  readonly muted: string;
  readonly grid: string;
  readonly axis: string;
  /** Text on a bar of one of the line colours. */
  readonly on_bar: string;
  readonly lines: readonly string[];
}

export const light: FigureColours = {
  ...{ text: "#1b1e24", muted: "#5b6270", grid: "#e6e8ec", axis: "#9aa1ad", on_bar: "#fff" },
  lines: palette.light,
};

/** Colours that the page around the figure defines, so that it follows light and dark. */
export const ofPage: FigureColours = {
  ...{ text: "var(--text)", muted: "var(--muted)", grid: "var(--grid)", axis: "var(--axis)", on_bar: "var(--on-bar)" },
  lines: palette.light.map((_, i) => `var(--line-${i})`),
};

/** Rules for what the figures draw: once in a page, or inside a figure that stands alone. */
export function figureStyle({ text, muted, grid, axis, on_bar, lines }: FigureColours): string {
  return [
    `.fig text{fill:${muted};font:11px system-ui,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}`,
    `.fig .title{fill:${text};font-size:12.5px;font-weight:600}`,
    `.fig .grid{stroke:${grid};stroke-width:1;fill:none}`,
    `.fig .axis{stroke:${axis};stroke-width:1;fill:none}`,
    ".fig .line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}",
    ".fig .faint{stroke-width:1;stroke-opacity:.38}",
    ".fig .band{stroke:none;fill-opacity:.16}",
    `.fig .rest{fill:${axis}}`,
    `.fig .on-bar{fill:${on_bar};font-weight:600}`,
    ...lines.map((colour, i) => `.fig .s${i}{stroke:${colour}}.fig .f${i}{fill:${colour}}`),
  ].join("\n");
}

/** For text and attribute values; characters that XML cannot hold are replaced. */
export const escapeXml = (text: string): string =>
  text
    .replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");
