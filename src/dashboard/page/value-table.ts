import type { MetricInfo } from "../api.js";
import type { ChartData } from "./chart.js";
import { element } from "./dom.js";
import { short, titleOf } from "./format.js";

const max_rows = 500;

/** The numbers behind a chart, for reading, copying and for those who cannot see it. */
export function showTable({ name, unit, formula }: MetricInfo, { xs, series }: ChartData, x_name: string): void {
  const columns = series.filter(({ kind }) => kind !== "edge");
  const start = Math.max(0, xs.length - max_rows);
  const rows = xs
    .slice(start)
    .map((x, i) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, String(Number(x.toPrecision(6)))),
        ...columns.map(({ ys }) => element("td", {}, ys[start + i] === null ? "" : short(ys[start + i]!, unit))),
      ),
    );
  const heads = [x_name, ...columns.map((column) => column.name)].map((text) => element("th", { scope: "col" }, text));
  const close = element("button", { type: "button" }, "Close");
  const dialog = element(
    "dialog",
    { class: "values", "aria-label": `values of ${titleOf(name)}` },
    element("div", { class: "dialog-head" }, element("h2", {}, titleOf(name)), close),
    element(
      "p",
      { class: "muted" },
      [formula, start > 0 ? `the last ${max_rows} of ${xs.length}` : ""].filter(Boolean).join("; "),
    ),
    element(
      "div",
      { class: "scroll", tabindex: 0 },
      element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows.reverse())),
    ),
  );
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
