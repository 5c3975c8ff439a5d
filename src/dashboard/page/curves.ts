import { type Chart, chart } from "./chart.js";
import { curveToolbar, x_names } from "./curve-toolbar.js";
import { chartData, type CurveSettings, type Topic, topicsOf } from "./curve-topics.js";
import { debounced, element } from "./dom.js";
import { titleOf } from "./format.js";
import type { Store } from "./store.js";
import { showTable } from "./value-table.js";

interface Card {
  readonly chart: Chart;
  is_visible: boolean;
  is_stale: boolean;
}

/** All curves of the ticked runs. A chart is drawn when it comes into view. */
export function curvesView(root: HTMLElement, store: Store): { update(): void } {
  const settings: CurveSettings = { smoothing: 0, x: "step", is_grouped: true, is_log: false, filter: "" };
  const cards = new Map<string, Card>();
  const body = element("div", { class: "curves" });
  const empty = element("p", { class: "empty" });
  root.append(
    curveToolbar(settings, () => update()),
    empty,
    body,
  );

  const seen = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const card = [...cards.values()].find((one) => one.chart.root === target);
        if (card !== undefined) card.is_visible = isIntersecting;
      }
      drawVisible();
    },
    { rootMargin: "200px" },
  );
  addEventListener(
    "resize",
    debounced(() => cards.forEach(({ chart: one }) => one.resize()), 100),
  );
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const card of cards.values()) card.chart.destroy();
    cards.clear();
    update();
  });

  let topics: readonly Topic[] = [];
  const drawVisible = (): void => {
    if (root.hidden) return;
    for (const topic of topics) {
      const card = cards.get(topic.key);
      if (card === undefined || !card.is_visible || !card.is_stale) continue;
      card.is_stale = false;
      const { unit, formula } = topic.info;
      const title = topic.is_evaluation ? topic.info.name : titleOf(topic.info.name);
      card.chart.draw(chartData(topic, store, settings), {
        title,
        unit,
        formula,
        x_name: x_names[settings.x],
        is_log: settings.is_log,
      });
    }
  };

  const cardOf = (topic: Topic): Card => {
    const known = cards.get(topic.key);
    if (known !== undefined) return known;
    const made = chart(() =>
      showTable(topic.info, chartData(topic, store, { ...settings, smoothing: 0 }), x_names[settings.x]),
    );
    const card = { chart: made, is_visible: false, is_stale: true };
    cards.set(topic.key, card);
    seen.observe(made.root);
    return card;
  };

  const update = (): void => {
    const pattern = filterOf(settings.filter);
    topics = topicsOf(store).filter(({ info }) => pattern.test(info.name) || pattern.test(titleOf(info.name)));
    empty.textContent =
      store.runs.size === 0
        ? "No run yet. A run appears here once it has begun."
        : topics.length === 0
          ? "Nothing to show: tick a run, or change the filter."
          : "";
    empty.hidden = empty.textContent === "";
    const sections = Map.groupBy(topics, ({ info }) => info.section);
    const wanted = [...sections].map(
      ([title, here]) => [title, here.map((topic) => cardOf(topic).chart.root)] as const,
    );
    if (
      layoutOf(body) !== wanted.map(([title, roots]) => `${title}:${roots.length}`).join() ||
      wanted.some(([, roots]) => roots.some((one) => !body.contains(one)))
    )
      body.replaceChildren(
        ...wanted.map(([title, roots]) =>
          element(
            "section",
            { "data-title": title },
            element("h2", {}, title),
            element("div", { class: "charts" }, ...roots),
          ),
        ),
      );
    for (const card of cards.values()) card.is_stale = true;
    drawVisible();
  };
  return { update };
}

const layoutOf = (body: HTMLElement): string =>
  [...body.children].map((one) => `${one.getAttribute("data-title")}:${one.querySelectorAll("figure").length}`).join();

function filterOf(text: string): RegExp {
  try {
    return new RegExp(text, "i");
  } catch {
    return new RegExp(text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "i");
  }
}
