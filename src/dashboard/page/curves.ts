import type { MetricInfo, RunSummary } from "../api.js";
import { type Chart, chart, type ChartData, type ChartSeries } from "./chart.js";
import { aligned, type Line, meanLine, smoothed } from "./curve-math.js";
import { checkbox, choice, debounced, element } from "./dom.js";
import { titleOf } from "./format.js";
import type { RunMetrics, Store } from "./store.js";
import { showTable } from "./value-table.js";

interface Settings {
  smoothing: number;
  x: "step" | "prompts_seen" | "hours";
  is_grouped: boolean;
  is_log: boolean;
  filter: string;
}

interface Card {
  readonly chart: Chart;
  is_visible: boolean;
  is_stale: boolean;
}

/** What one chart shows. */
interface Topic {
  readonly key: string;
  readonly info: MetricInfo;
  readonly is_evaluation: boolean;
  lineOf(metrics: RunMetrics): Line;
}

const x_names = { step: "step", prompts_seen: "prompts", hours: "hours" } as const;
const first_section = "Accuracy and reward";
const uncharted = new Set(["epoch", "prompts_seen", "optimizer_step"]);

/** All curves of the ticked runs. A chart is drawn when it comes into view. */
export function curvesView(root: HTMLElement, store: Store): { update(): void } {
  const settings: Settings = { smoothing: 0, x: "step", is_grouped: true, is_log: false, filter: "" };
  const cards = new Map<string, Card>();
  const body = element("div", { class: "curves" });
  const empty = element("p", { class: "empty" });
  root.append(toolbar(settings, () => update()), empty, body);

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
  addEventListener("resize", debounced(() => cards.forEach(({ chart: one }) => one.resize()), 100)); // prettier-ignore
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
      card.chart.draw(chartData(topic, store, settings), { title, unit, formula, x_name: x_names[settings.x], is_log: settings.is_log }); // prettier-ignore
    }
  };

  const cardOf = (topic: Topic): Card => {
    const known = cards.get(topic.key);
    if (known !== undefined) return known;
    const made = chart(() => showTable(topic.info, chartData(topic, store, { ...settings, smoothing: 0 }), x_names[settings.x]));
    const card = { chart: made, is_visible: false, is_stale: true };
    cards.set(topic.key, card);
    seen.observe(made.root);
    return card;
  };

  const update = (): void => {
    const pattern = filterOf(settings.filter);
    topics = topicsOf(store).filter(({ info }) => pattern.test(info.name) || pattern.test(titleOf(info.name)));
    empty.textContent =
      store.runs.size === 0 ? "No run yet. A run appears here once it has begun." : topics.length === 0 ? "Nothing to show: tick a run, or change the filter." : ""; // prettier-ignore
    empty.hidden = empty.textContent === "";
    const sections = Map.groupBy(topics, ({ info }) => info.section);
    const wanted = [...sections].map(([title, here]) => [title, here.map((topic) => cardOf(topic).chart.root)] as const);
    if (layoutOf(body) !== wanted.map(([title, roots]) => `${title}:${roots.length}`).join() || wanted.some(([, roots]) => roots.some((one) => !body.contains(one)))) // prettier-ignore
      body.replaceChildren(
        ...wanted.map(([title, roots]) =>
          element("section", { "data-title": title }, element("h2", {}, title), element("div", { class: "charts" }, ...roots)),
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

function toolbar(settings: Settings, update: () => void): HTMLElement {
  const soon = debounced(update, 60);
  const amount = element("output", {}, "0");
  const slider = element("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: 0, id: "smoothing" });
  slider.addEventListener("input", () => {
    settings.smoothing = Number(slider.value);
    amount.textContent = slider.value;
    soon();
  });
  const filter = element("input", { type: "search", placeholder: "Filter charts", "aria-label": "Filter charts", id: "chart-filter" }); // prettier-ignore
  filter.addEventListener("input", () => {
    settings.filter = filter.value.trim();
    soon();
  });
  const set = <K extends keyof Settings>(key: K, value: Settings[K]): void => {
    settings[key] = value;
    update();
  };
  const x = choice("Over", Object.entries(x_names), (value) => set("x", value as Settings["x"]));
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

/** Evaluations first, then the metrics in the order in which the server describes them, then those it does not know. */
function topicsOf(store: Store): readonly Topic[] {
  const all = store.shownRuns().flatMap(({ id }) => store.metricsOf(id) ?? []);
  const kinds = new Map(
    all.flatMap(({ evaluations }) => evaluations.map((row) => [`${row.split}, ${row.setting}`, row] as const)),
  );
  const evaluations = [...kinds].map(([name, { split, setting }]): Topic => {
    const formula = "mean over items of the share of correct completions (pass@1)";
    const info = { name: `accuracy on ${name}`, unit: "share", formula, section: first_section };
    return { key: `evaluation ${name}`, info, is_evaluation: true, lineOf: (metrics) => evaluationLine(metrics, split, setting) };
  });
  const names = new Set(all.flatMap(({ metrics }) => [...metrics.keys()]));
  const described = [...store.infos.keys()].filter((name) => names.has(name));
  const others = [...names].filter((name) => !store.infos.has(name));
  const rewards = others.filter((name) => name.startsWith("reward."));
  const ordered = [...rewards, ...described, ...others.filter((name) => !name.startsWith("reward."))];
  const metrics = ordered.flatMap((name): Topic[] => {
    if (uncharted.has(name)) return [];
    const unknown = { name, unit: "", formula: "", section: name.startsWith("reward.") ? first_section : "Other metrics" };
    const info = store.infos.get(name) ?? unknown;
    return [{ key: name, info, is_evaluation: false, lineOf: (of) => metricLine(of, name) }];
  });
  const order = [first_section, "Completions", "Learning"];
  const rank = ({ info }: Topic): number => (order.includes(info.section) ? order.indexOf(info.section) : order.length);
  return [...evaluations, ...metrics].sort((a, b) => rank(a) - rank(b));
}

function metricLine({ steps, metrics }: RunMetrics, name: string): Line {
  const values = metrics.get(name) ?? [];
  const kept = steps.flatMap((step, i) => (typeof values[i] === "number" ? [[step, values[i]] as const] : []));
  return { steps: kept.map(([step]) => step), xs: kept.map(([step]) => step), ys: kept.map(([, value]) => value) };
}

function evaluationLine({ evaluations }: RunMetrics, split: string, setting: string): Line {
  const kept = evaluations.filter((row) => row.split === split && row.setting === setting);
  const steps = kept.map(({ step }) => step);
  return { steps, xs: steps, ys: kept.map(({ accuracy }) => accuracy) };
}

/** The same line over prompts or hours of stepping instead of steps. */
function over(line: Line, { steps, metrics }: RunMetrics, x: Settings["x"]): Line {
  if (x === "step") return line;
  let hours = 0;
  const places = new Map(
    steps.map((step, i) => {
      hours += (metrics.get("step_seconds")?.[i] ?? 0) / 3600;
      return [step, x === "hours" ? hours : (metrics.get("prompts_seen")?.[i] ?? step)] as const;
    }),
  );
  return { ...line, xs: line.steps.map((step) => places.get(step) ?? 0) };
}

function chartData(topic: Topic, store: Store, { smoothing, x, is_grouped, is_log }: Settings): ChartData {
  const runs = store.shownRuns();
  const lines = runs.flatMap((run) => {
    const metrics = store.metricsOf(run.id);
    const line = metrics && over(topic.lineOf(metrics), metrics, x);
    return line === undefined || line.ys.length === 0 ? [] : [{ run, line: is_log ? positive(line) : line }];
  });
  const weight = topic.is_evaluation ? 0 : smoothing;
  const kind = topic.is_evaluation ? "dots" : "line";
  const drawn: (Pick<ChartSeries, "name" | "colour" | "kind"> & Pick<Line, "xs" | "ys">)[] = [];
  const bands: [number, number, number][] = [];
  for (const [group, members] of Map.groupBy(lines, ({ run }) => (is_grouped ? run.group : -1))) {
    const smooth = members.map(({ run, line }) => ({ run, raw: line, line: { ...line, ys: smoothed(line.ys, weight) } }));
    const is_mean = group >= 0 && members.length > 1;
    for (const { run, raw, line } of smooth) {
      const colour = is_grouped ? run.group : colourOf(run, store);
      if (weight > 0 && !is_mean) drawn.push({ name: run.name, colour, kind: "faint", xs: raw.xs, ys: raw.ys });
      drawn.push({ name: run.name, colour, kind: is_mean ? "faint" : kind, xs: line.xs, ys: line.ys });
    }
    if (!is_mean) continue;
    const { xs, ys, high, low } = meanLine(smooth.map(({ line }) => line));
    const { group_name: name } = members[0]!.run;
    bands.push([drawn.length, drawn.length + 1, group]);
    drawn.push({ name, colour: group, kind: "edge", xs, ys: high }, { name, colour: group, kind: "edge", xs, ys: low });
    drawn.push({ name, colour: group, kind, xs, ys });
  }
  const [xs, ...columns] = aligned(drawn);
  return { xs, bands, series: drawn.map(({ name, colour, kind: of }, i) => ({ name, colour, kind: of, ys: columns[i]! })) };
}

const positive = (line: Line): Line => ({ ...line, ys: line.ys.map((y) => (y > 0 ? y : NaN)) });

/** By the place in the whole list, so that ticking a run changes no other's colour. */
export const colourOf = ({ id }: RunSummary, store: Store): number => [...store.runs.keys()].indexOf(id);
