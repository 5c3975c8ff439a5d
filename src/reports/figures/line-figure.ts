import { linearScale, type Scale, tickLabel } from "./scale.js";
import { escapeXml, type FigureColours, figureStyle } from "./theme.js";

export type Point = readonly [x: number, y: number];

export interface LineSeries {
  readonly name: string;
  /** Index of the colour. */
  readonly colour: number;
  readonly points: readonly Point[];
  /** Lower and upper edge around the line. */
  readonly band?: readonly (readonly [x: number, low: number, high: number])[] | undefined;
  /** A run behind its group's mean. */
  readonly is_faint?: boolean | undefined;
  /** Few points, each of which was measured: dots on the line. */
  readonly with_dots?: boolean | undefined;
}

export interface LineFigure {
  readonly title: string;
  readonly unit: string;
  readonly x_label: string;
  readonly series: readonly LineSeries[];
  /** Where each group's colour is not explained beside the figure. */
  readonly with_legend?: boolean;
  readonly width?: number;
  readonly height?: number;
}

const max_points = 400;

/** An SVG drawing. `colours` puts the rules inside, for a file of its own; without, the page must hold `figureStyle`. */
export function lineFigure(figure: LineFigure, colours?: FigureColours): string {
  const { width = 352, height = 208, series, unit } = figure;
  const entries = figure.with_legend === true ? legendEntries(series) : [];
  const top = 30 + 16 * Math.ceil(entries.length / 2);
  const frame = { left: 52, right: width - 12, top, bottom: height - 34 };
  const drawn = series.map((one) => ({ ...one, points: thinned(one.points.filter(isFinitePoint)) }));
  const x = linearScale(
    extent(drawn.flatMap(({ points }) => points.map(([value]) => value))),
    [frame.left, frame.right],
    {
      num_ticks: 5,
      snug: true,
    },
  );
  const y = linearScale(valueRange(drawn, unit), [frame.bottom, frame.top]);
  const last = drawn.filter(({ is_faint }) => is_faint !== true).map((one) => lastText(one, unit));
  const label = `${figure.title}, ${unit}, over ${figure.x_label}. ${last.join("; ")}`;
  return [
    `<svg class="fig" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeXml(label)}">`,
    colours === undefined ? "" : `<style>${escapeStyle(figureStyle(colours))}</style>`,
    `<text class="title" x="${frame.left - 40}" y="15">${escapeXml(figure.title)}</text>`,
    ...entries.map(([name, colour], i) =>
      legendEntry(name, colour, frame.left + (i % 2) * ((width - 60) / 2), 34 + 16 * (i >> 1)),
    ),
    ...axes(x, y, frame, figure),
    ...drawn.map((one) => bandPath(one, x, y)),
    ...drawn.map((one) => linePath(one, x, y)),
    "</svg>",
  ].join("");
}

interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

function axes(x: Scale, y: Scale, { left, right, bottom }: Frame, { unit, x_label }: LineFigure): string[] {
  return [
    ...y.ticks.map((tick) => `<path class="grid" d="M${left} ${round(y.place(tick))}H${right}"/>`),
    ...y.ticks.map(
      (tick) =>
        `<text x="${left - 6}" y="${round(y.place(tick) + 3.5)}" text-anchor="end">${tickLabel(tick, y.ticks, unit)}</text>`,
    ),
    `<path class="axis" d="M${left} ${bottom}H${right}"/>`,
    ...x.ticks.map(
      (tick) =>
        `<text x="${round(x.place(tick))}" y="${bottom + 14}" text-anchor="middle">${tickLabel(tick, x.ticks, "")}</text>`,
    ),
    `<text x="${right}" y="${bottom + 28}" text-anchor="end">${escapeXml(x_label)}</text>`,
    ["share", "bytes", "1", ""].includes(unit) ? "" : `<text x="${left}" y="${bottom + 28}">${escapeXml(unit)}</text>`,
  ];
}

function linePath({ points, colour, is_faint, with_dots }: LineSeries, x: Scale, y: Scale): string {
  if (points.length === 0) return "";
  const places = points.map(([px, py]) => `${round(x.place(px))} ${round(y.place(py))}`);
  const line = `<path class="line s${colour % 8}${is_faint === true ? " faint" : ""}" d="M${places.join("L")}"/>`;
  if (points.length > 1 && with_dots !== true) return line;
  return (
    line +
    places.map((place) => `<circle class="f${colour % 8}" cx="${place.replace(" ", '" cy="')}" r="2.4"/>`).join("")
  );
}

function bandPath({ band = [], colour }: LineSeries, x: Scale, y: Scale): string {
  const kept = every(band, Math.ceil(band.length / max_points));
  if (kept.length < 2) return "";
  const edge = (side: 1 | 2) => kept.map((point) => `${round(x.place(point[0]))} ${round(y.place(point[side]))}`);
  return `<path class="band f${colour % 8}" d="M${edge(2).join("L")}L${edge(1).reverse().join("L")}Z"/>`;
}

const legendEntries = (series: readonly LineSeries[]): readonly (readonly [string, number])[] =>
  series.filter(({ is_faint }) => is_faint !== true).map(({ name, colour }) => [name, colour] as const);

const legendEntry = (name: string, colour: number, x: number, y: number): string =>
  `<path class="line s${colour % 8}" d="M${x} ${y - 4}h14"/><text x="${x + 19}" y="${y}">${escapeXml(name)}</text>`;

function lastText({ name, points }: LineSeries, unit: string): string {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return `${name}: no values`;
  const show = (value: number): string => (unit === "share" ? `${(100 * value).toFixed(1)} %` : value.toPrecision(3));
  return `${name}: ${show(first[1])} at ${first[0]}, ${show(last[1])} at ${last[0]}`;
}

/** Shares show the whole range from 0 if they use a good part of it; bands are inside. */
function valueRange(series: readonly LineSeries[], unit: string): readonly [number, number] {
  const edges = series.flatMap(({ band = [] }) => band.flatMap(([, low, high]) => [low, high]));
  const [low, high] = extent([...series.flatMap(({ points }) => points.map(([, value]) => value)), ...edges]);
  if (unit === "share") return [Math.max(0, low < 0.4 * high ? 0 : low), Math.min(1, high)];
  return low > 0 && low < 0.4 * high ? [0, high] : [low, high];
}

function extent(values: readonly number[]): readonly [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return low <= high ? [low, high] : [0, 1];
}

/** Of every stretch its lowest and highest point: no spike is lost. */
function thinned(points: readonly Point[]): readonly Point[] {
  if (points.length <= max_points) return points;
  const stretch = Math.ceil((2 * points.length) / max_points);
  const kept: Point[] = [];
  for (let start = 0; start < points.length; start += stretch) {
    const part = points.slice(start, start + stretch);
    const low = part.reduce((a, b) => (b[1] < a[1] ? b : a));
    const high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...(low === high ? [low] : low[0] < high[0] ? [low, high] : [high, low]));
  }
  return kept;
}

const every = <T>(items: readonly T[], n: number): readonly T[] =>
  n <= 1 ? items : items.filter((_, i) => i % n === 0);
const isFinitePoint = ([x, y]: Point): boolean => Number.isFinite(x) && Number.isFinite(y);
const round = (value: number): string => String(Math.round(10 * value) / 10);
const escapeStyle = (style: string): string => style.replaceAll("<", "");
