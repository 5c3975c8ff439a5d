import type { CurveSettings } from "./curve-topics.js";
import { checkbox, choice, debounced, element } from "./dom.js";

/** What curves may be drawn over. */
export const x_names = { step: "step", prompts_seen: "prompts", hours: "hours" } as const;
/** Smoothing, x axis, seeds, scale and filter; `update` hears of every change. */
export function curveToolbar(settings: CurveSettings, update: () => void): HTMLElement {
  const soon = debounced(update, 60);
  const amount = element("output", {}, "0");
  const slider = element("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: 0, id: "smoothing" });
  slider.addEventListener("input", () => {
    settings.smoothing = Number(slider.value);
    amount.textContent = slider.value;
    soon();
  });
  const filter = element("input", {
    type: "search",
    placeholder: "Filter charts",
    "aria-label": "Filter charts",
    id: "chart-filter",
  });
  filter.addEventListener("input", () => {
    settings.filter = filter.value.trim();
    soon();
  });
  const set = <K extends keyof CurveSettings>(key: K, value: CurveSettings[K]): void => {
    settings[key] = value;
    update();
  };
  const x = choice("Over", Object.entries(x_names), (value) => set("x", value as CurveSettings["x"]));
  return element(
    "div",
    { class: "toolbar", role: "toolbar", "aria-label": "How curves are drawn" },
    element("label", { class: "choice" }, "Smoothing ", slider, " ", amount),
    x.root,
    checkbox("mean over seeds", settings.is_grouped, (is_on) => set("is_grouped", is_on)),
    checkbox("logarithmic", settings.is_log, (is_on) => set("is_log", is_on)),
    filter,
  );
}
