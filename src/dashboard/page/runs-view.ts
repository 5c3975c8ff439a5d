import type { RunDetails, RunSummary } from "../api.js";
import { element, getJson } from "./dom.js";
import { short } from "./format.js";
import type { RunMetrics, Store } from "./store.js";

const max_details = 12;

/** The ticked runs side by side: results, what differs in their configs, where their time goes, and their machines. */
export function runsView(root: HTMLElement, store: Store): { update(): void } {
  const details = new Map<string, { readonly num_steps: number; readonly value: RunDetails }>();
  const fetching = new Set<string>();

  const fetchDetails = async ({ id, num_steps, state }: RunSummary): Promise<void> => {
    const known = details.get(id);
    // While a run goes on its times change slowly: every tenth step is enough.
    if (
      fetching.has(id) ||
      (known !== undefined &&
        (known.num_steps === num_steps || (state === "running" && num_steps < known.num_steps + 10)))
    )
      return;
    fetching.add(id);
    await getJson<RunDetails>(`/api/runs/${id}`)
      .then((value) => details.set(id, { num_steps, value }))
      .then(() => update())
      .catch(() => undefined) // asked again with the next event
      .finally(() => fetching.delete(id));
  };

  const update = (): void => {
    if (root.hidden) return;
    const runs = store.shownRuns();
    if (runs.length === 0)
      return root.replaceChildren(element("p", { class: "empty" }, "Tick runs at the left to compare them."));
    for (const run of runs.slice(0, max_details)) void fetchDetails(run);
    const known = runs.flatMap((run) => details.get(run.id)?.value ?? []);
    const open = new Set([...root.querySelectorAll("details[open]")].map((one) => one.getAttribute("data-run")));
    root.replaceChildren(
      element("h2", {}, "Results"),
      resultTable(runs, store),
      ...(known.length > 1 ? [element("h2", {}, "What differs"), configTable(runs, known)] : []),
      element("h2", {}, "Time and machine"),
      ...known.map((one) => runDetails(one, store, open.has(one.id))),
    );
  };
  return { update };
}

const scrolled = (label: string, table: HTMLElement): HTMLElement =>
  element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);

const heads = (names: readonly string[]): HTMLElement =>
  element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name))));

function resultTable(runs: readonly RunSummary[], store: Store): HTMLElement {
  const kinds = new Set(
    runs.flatMap(({ id }) => store.metricsOf(id)?.evaluations.map((row) => `${row.split}, ${row.setting}`) ?? []),
  );
  const columns = ["reward_mean", "completion_length_mean", "truncated", "rollout_tokens_per_second", "step_seconds"];
  const used = columns.filter((name) => runs.some(({ id }) => store.metricsOf(id)?.metrics.has(name)));
  const rows = runs.map(({ id, name, state, step, seed, algorithm }) => {
    const metrics = store.metricsOf(id);
    const accuracy = [...kinds].map((kind) => accuracyText(metrics, kind));
    const values = used.map((metric) => tailMean(metrics, metric, store.infos.get(metric)?.unit ?? ""));
    const cells = [state, String(step), algorithm, seed === null ? "" : String(seed), ...accuracy, ...values];
    return element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((cell) => element("td", {}, cell)));
  });
  const names = [
    "run",
    "state",
    "step",
    "algorithm",
    "seed",
    ...[...kinds].map((kind) => `accuracy on ${kind}: last (best)`),
    ...used.map((name) => name.replaceAll("_", " ")),
  ];
  const note = element("p", { class: "muted" }, "Metrics are means over the last tenth of the steps.");
  return element(
    "div",
    {},
    scrolled("results", element("table", {}, heads(names), element("tbody", {}, ...rows))),
    note,
  );
}

function accuracyText(metrics: RunMetrics | undefined, kind: string): string {
  const values =
    metrics?.evaluations.filter((row) => `${row.split}, ${row.setting}` === kind).map(({ accuracy }) => accuracy) ?? [];
  return values.length === 0 ? "" : `${short(values.at(-1)!, "share")} (${short(Math.max(...values), "share")})`;
}

function tailMean(metrics: RunMetrics | undefined, name: string, unit: string): string {
  const values = (metrics?.metrics.get(name) ?? []).filter((value) => value !== null);
  const tail = values.slice(-Math.max(1, Math.round(values.length / 10)));
  return tail.length === 0 ? "" : short(tail.reduce((sum, value) => sum + value, 0) / tail.length, unit);
}

function configTable(runs: readonly RunSummary[], known: readonly RunDetails[]): HTMLElement {
  const keys = [...new Set(known.flatMap(({ config }) => Object.keys(config)))].sort();
  const differing = keys.filter(
    (key) => key !== "run_folder" && new Set(known.map(({ config }) => config[key])).size > 1,
  );
  if (differing.length === 0) return element("p", {}, "Nothing: all ticked runs have the same config.");
  const rows = differing.map((key) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, key),
      ...known.map(({ config }) => element("td", {}, config[key] ?? "–")),
    ),
  );
  const names = known.map(({ id }) => runs.find((run) => run.id === id)?.name ?? id);
  return scrolled(
    "what differs",
    element("table", { class: "differs" }, heads(["key", ...names]), element("tbody", {}, ...rows)),
  );
}

function runDetails(
  { id, folder, manifest, config_yaml, time }: RunDetails,
  store: Store,
  is_open: boolean,
): HTMLElement {
  const facts = Object.entries(manifest).map(([key, value]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, key.replace(/^machine\./, "").replaceAll("_", " ")),
      element("td", {}, value),
    ),
  );
  const parts = time?.parts ?? [];
  return element(
    "section",
    { class: "run-details" },
    element("h3", {}, store.runs.get(id)?.name ?? id),
    ...(time === null ? [] : [timeBar(parts), element("p", { class: "bottleneck" }, time.bottleneck)]),
    element(
      "details",
      { "data-run": id, open: is_open },
      element("summary", {}, "Machine, versions and config"),
      element("p", { class: "muted" }, folder),
      element("table", { class: "facts-table" }, element("tbody", {}, ...facts)),
      element("pre", {}, config_yaml),
    ),
  );
}

function timeBar(
  parts: readonly { readonly name: string; readonly seconds: number; readonly share: number }[],
): HTMLElement {
  const label = parts.map(({ name, share }) => `${name} ${(100 * share).toFixed(0)} %`).join(", ");
  const bar = parts.map(({ share }, i) => {
    const piece = element("i", { class: fillOf(i) });
    piece.style.flexGrow = String(share);
    return piece;
  });
  const entries = parts.map(({ name, seconds, share }, i) =>
    element(
      "li",
      {},
      element("i", { class: `swatch ${fillOf(i)}` }),
      `${name} ${(100 * share).toFixed(0)} % (${seconds.toPrecision(2)} s)`,
    ),
  );
  return element(
    "div",
    { class: "time" },
    element("div", { class: "bar", role: "img", "aria-label": label }, ...bar),
    element("ul", {}, ...entries),
  );
}

/** Beyond the eight colours, grey. */
const fillOf = (index: number): string => (index < 8 ? `fill-${index}` : "fill-rest");
