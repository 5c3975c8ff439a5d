import { escapeXml, type FigureColours, figureStyle } from "./theme.js";

export interface StackedBar {
  readonly name: string;
  readonly parts: readonly { readonly name: string; readonly share: number }[];
}

/** One horizontal bar a name, cut into parts that share one legend. */
export function stackedBars(
  figure: { readonly title: string; readonly bars: readonly StackedBar[]; readonly width?: number },
  colours?: FigureColours,
): string {
  const { title, bars, width = 1080 } = figure;
  const names = [...new Set(bars.flatMap(({ parts }) => parts.map(({ name }) => name)))];
  const label_width = Math.min(260, 16 + 6.4 * Math.max(0, ...bars.map(({ name }) => name.length)));
  const place = legendPlaces(names, width);
  const top = 30 + 18 * (place.at(-1)?.[1] ?? 0) + 24;
  const height = top + 30 * bars.length + 6;
  const label = bars.map(
    ({ name, parts }) => `${name}: ${parts.map((part) => `${part.name} ${percent(part.share)}`).join(", ")}`,
  );
  const svg = [
    `<svg class="fig" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeXml(`${title}. ${label.join("; ")}`)}">`,
    colours === undefined ? "" : `<style>${figureStyle(colours)}</style>`,
    `<text class="title" x="0" y="15">${escapeXml(title)}</text>`,
    ...names.map((name, i) => {
      const [x, line] = place[i]!;
      const y = 36 + 18 * line;
      return `<rect class="${fillOf(i)}" x="${x}" y="${y - 9}" width="10" height="10" rx="2"/><text x="${x + 15}" y="${y}">${escapeXml(name)}</text>`;
    }),
  ];
  bars.forEach(({ name, parts }, row) => {
    const y = top + 30 * row;
    svg.push(`<text x="0" y="${y + 15}">${escapeXml(name)}</text>`);
    let x = label_width;
    for (const part of parts) {
      const length = part.share * (width - label_width - 4);
      svg.push(
        `<rect class="${fillOf(names.indexOf(part.name))}" x="${x.toFixed(1)}" y="${y}" width="${Math.max(0.5, length - 1.5).toFixed(1)}" height="22" rx="2"/>`,
      );
      if (length > 42)
        svg.push(
          `<text x="${(x + length / 2).toFixed(1)}" y="${y + 15}" text-anchor="middle" class="on-bar">${percent(part.share)}</text>`,
        );
      x += length;
    }
  });
  svg.push("</svg>");
  return svg.join("");
}

/** Places of the entries, and the line each is in. */
function legendPlaces(names: readonly string[], width: number): readonly (readonly [x: number, line: number])[] {
  let [x, line] = [0, 0];
  return names.map((name) => {
    const needed = 34 + 6.2 * name.length;
    if (x + needed > width) [x, line] = [0, line + 1];
    const here = [x, line] as const;
    x += needed;
    return here;
  });
}

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;

/** Beyond the eight colours, grey. */
const fillOf = (index: number): string => (index < 8 ? `f${index}` : "rest");
