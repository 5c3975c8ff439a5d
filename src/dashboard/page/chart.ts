import type UPlot from "uplot"; // the library itself is loaded by a script tag of its own, as the global `uPlot`
import { element } from "./dom.js";
import { short } from "./format.js";

export interface ChartSeries {
  readonly name: string;
  readonly colour: number;
  readonly ys: readonly (number | null)[];
  /** `faint`: behind a mean or a smoothed line; `edge`: of a band, not drawn; `dots`: few, measured one by one. */
  readonly kind: "line" | "dots" | "faint" | "edge";
}

export interface ChartData {
  readonly xs: readonly number[];
  readonly series: readonly ChartSeries[];
  /** Pairs of indices into series: upper and lower edge. */
  readonly bands: readonly (readonly [high: number, low: number, colour: number])[];
}

export interface ChartOptions {
  readonly title: string;
  readonly unit: string;
  readonly formula: string;
  readonly x_name: string;
  readonly is_log: boolean;
}

export interface Chart {
  readonly root: HTMLElement;
  draw(data: ChartData, options: ChartOptions): void;
  resize(): void;
  destroy(): void;
}

const height = 184;
const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const lineColour = (index: number): string => colour(`--line-${index % 8}`);

/** A figure with a title, the newest values, and the values under the pointer in all charts at once. */
export function chart(onTable: () => void): Chart {
  const title = element("h3");
  const latest = element("p", { class: "latest" });
  const table = element("button", { type: "button", class: "quiet" }, "values");
  table.addEventListener("click", onTable);
  const plot_place = element("div", { class: "plot", role: "img" });
  const tip = element("div", { class: "tip", hidden: true });
  const note = element("figcaption");
  const root = element(
    "figure",
    { class: "chart" },
    element("div", { class: "chart-head" }, title, table, latest),
    plot_place,
    note,
    tip,
  );
  let plot: UPlot | undefined;
  let shape = "";
  let current: { data: ChartData; options: ChartOptions } | undefined;

  const showTip = (u: UPlot): void => {
    const { idx, left = -1 } = u.cursor;
    if (current === undefined || idx === null || idx === undefined || left < 0) return void (tip.hidden = true);
    const { data, options } = current;
    const rows = data.series.flatMap(({ name, kind, ys, colour: index }) => {
      const value = kind === "line" || kind === "dots" ? nearestValue(ys, idx) : null;
      return value === null ? [] : [{ name, value, index }];
    });
    tip.replaceChildren(
      element("b", {}, `${options.x_name} ${short(data.xs[idx]!)}`),
      ...rows
        .sort((a, b) => b.value - a.value)
        .slice(0, 12)
        .map(({ name, value, index }) => {
          return element(
            "div",
            {},
            element("i", { class: `fill-${index % 8}` }),
            `${short(value, options.unit)}  ${name}`,
          );
        }),
    );
    tip.hidden = rows.length === 0 || !root.matches(":hover");
    const x = left + u.bbox.left / devicePixelRatio;
    const is_left = x > plot_place.clientWidth / 2;
    tip.style.left = is_left ? "" : `${x + 14}px`;
    tip.style.right = is_left ? `${plot_place.clientWidth - x + 14}px` : "";
  };

  return {
    root,
    draw: (data, options) => {
      current = { data, options };
      title.textContent = options.title;
      note.textContent = options.formula;
      const drawn = data.series.filter(({ kind }) => kind === "line" || kind === "dots");
      const last = drawn.map(({ ys }) => ys.findLast((value) => value !== null) ?? NaN);
      const inked = last.map((value, i) =>
        element("span", { class: `ink-${drawn[i]!.colour % 8}` }, short(value, options.unit)),
      );
      latest.replaceChildren(...(inked.length <= 3 ? inked : []));
      const words = drawn.slice(0, 8).map(({ name }, i) => `${name}: last ${short(last[i]!, options.unit)}`);
      plot_place.setAttribute("aria-label", `${options.title} over ${options.x_name}. ${words.join("; ")}`);
      table.setAttribute("aria-label", `values of ${options.title}`);
      const columns = [data.xs, ...data.series.map(({ ys }) => ys)] as unknown as UPlot.AlignedData;
      const new_shape = JSON.stringify([
        options,
        data.bands,
        data.series.map(({ name, colour: c, kind }) => [name, c, kind]),
      ]);
      if (plot !== undefined && new_shape === shape) return plot.setData(columns, !isZoomed(plot));
      shape = new_shape;
      plot?.destroy();
      plot = new uPlot(plotOptions(data, options, plot_place.clientWidth || 320, showTip), columns, plot_place);
    },
    resize: () => {
      const width = plot_place.clientWidth;
      if (plot !== undefined && width > 0 && width !== plot.width) plot.setSize({ width, height });
    },
    destroy: () => plot?.destroy(),
  };
}

/** Whether a range was drawn over the chart: new values must not take the reader away from it. */
const isZoomed = ({ data: [xs], scales }: UPlot): boolean =>
  xs.length > 0 && ((scales["x"]?.min ?? -Infinity) > xs[0]! || (scales["x"]?.max ?? Infinity) < xs.at(-1)!);

function plotOptions(
  { series, bands }: ChartData,
  { unit, is_log }: ChartOptions,
  width: number,
  onCursor: (plot: UPlot) => void,
): UPlot.Options {
  const [axis, grid] = [colour("--muted"), colour("--grid")];
  const font = '11px system-ui, "Segoe UI", sans-serif';
  const common = { stroke: axis, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
  return {
    ...{ width, height, padding: [8, 10, 0, 0], legend: { show: false } },
    cursor: { sync: { key: "curves" }, drag: { x: true, y: false }, points: { size: 5 } },
    scales: { x: { time: false }, y: { distr: is_log ? 3 : 1 } },
    axes: [
      { ...common, size: 24, gap: 4, values: (_, ticks) => ticks.map((tick) => tickText(tick, "")) },
      {
        ...common,
        size: 50,
        gap: 4,
        values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : tickText(tick, unit))),
      },
    ],
    series: [
      {},
      ...series.map(({ name, kind, colour: index }): UPlot.Series => {
        const stroke = lineColour(index);
        if (kind === "edge") return { label: name, stroke: "transparent", points: { show: false }, spanGaps: true };
        if (kind === "faint")
          return { label: name, stroke: `${stroke}55`, width: 1, points: { show: false }, spanGaps: true };
        const points = kind === "dots" ? { show: true, size: 5, fill: stroke } : { show: false };
        return { label: name, stroke, width: 1.75, points, spanGaps: true };
      }),
    ],
    bands: bands.map(([high, low, index]) => ({ series: [high + 1, low + 1], fill: `${lineColour(index)}26` })),
    hooks: { setCursor: [onCursor] },
  };
}

const tickText = (tick: number, unit: string): string =>
  unit === "share"
    ? `${Number((100 * tick).toPrecision(6))} %`
    : short(tick, unit)
        .replace(/(\.\d*?)0+(?=[kM]?$)/, "$1")
        .replace(/\.(?=[kM]?$)/, "");

/** At the index, or at the nearest one before: lines of other runs may lack this x. */
function nearestValue(ys: readonly (number | null)[], index: number): number | null {
  for (let i = index; i >= Math.max(0, index - 20); i--) if (ys[i] !== null && ys[i] !== undefined) return ys[i]!;
  return null;
}
