import type { EvaluationRow, MetricInfo, MetricsResponse, RunSummary } from "../api.js";
import { getJson } from "./dom.js";

/** What the page knows of one run's metrics. */
export interface RunMetrics {
  generation: number;
  steps: number[];
  readonly metrics: Map<string, (number | null)[]>;
  evaluations: EvaluationRow[];
}

/** Everything shown comes from here; `onChange` hears when any of it is new. */
export interface Store {
  readonly runs: ReadonlyMap<string, RunSummary>;
  readonly infos: ReadonlyMap<string, MetricInfo>;
  /** Ids of the runs that are ticked. */
  readonly shown: ReadonlySet<string>;
  metricsOf(id: string): RunMetrics | undefined;
  /** Ticked runs in the order of the list. */
  shownRuns(): readonly RunSummary[];
  show(ids: readonly string[], is_shown: boolean): void;
  onChange(listener: () => void): void;
}

const num_shown_at_first = 12;

/** Follows the server's events, and fetches what they announce for the runs that are shown. */
export function openStore(onConnection: (text: string, is_live: boolean) => void): Store {
  const runs = new Map<string, RunSummary>();
  const infos = new Map<string, MetricInfo>();
  const data = new Map<string, RunMetrics>();
  const fetching = new Set<string>();
  const listeners: (() => void)[] = [];
  let shown: Set<string> | undefined;
  let scheduled = false;

  const changed = (): void => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      for (const listener of listeners) listener();
    });
  };

  const fetchNew = async (id: string): Promise<void> => {
    const [run, known] = [runs.get(id), data.get(id)];
    if (run === undefined || shown?.has(id) !== true || fetching.has(id) || isCurrent(run, known)) return;
    fetching.add(id);
    try {
      const { generation = 0, steps = [], evaluations = [] } = known ?? {};
      const at = { generation, from_step: steps.length, from_evaluation: evaluations.length };
      const query = Object.entries(at)
        .map(([name, value]) => `${name}=${value}`)
        .join("&");
      data.set(id, merged(known, await getJson<MetricsResponse>(`/api/runs/${id}/metrics?${query}`)));
      changed();
    } catch {
      return; // the next event tries again
    } finally {
      fetching.delete(id);
    }
    await fetchNew(id); // events that came meanwhile
  };

  const takeEvent = (event: MessageEvent<string>): void => {
    const news = JSON.parse(event.data) as {
      readonly changed: readonly RunSummary[];
      readonly gone: readonly string[];
    };
    for (const id of news.gone) runs.delete(id);
    for (const run of news.changed) {
      if (!runs.has(run.id)) shown?.add(run.id);
      runs.set(run.id, run);
    }
    shown ??= new Set(newest(news.changed).map(({ id }) => id));
    for (const { id } of news.changed) void fetchNew(id);
    changed();
  };

  const source = new EventSource("/api/events");
  source.addEventListener("runs", takeEvent as (event: Event) => void);
  source.addEventListener("open", () => onConnection("connected", true));
  source.addEventListener("error", () => onConnection("not connected: is the dashboard still running?", false));
  void getJson<readonly MetricInfo[]>("/api/metrics").then((all) => {
    for (const info of all) infos.set(info.name, info);
    changed();
  });

  return {
    runs,
    infos,
    get shown() {
      return shown ?? new Set<string>();
    },
    metricsOf: (id) => data.get(id),
    shownRuns: () => [...runs.values()].filter(({ id }) => shown?.has(id) === true),
    show: (ids, is_shown) => {
      shown ??= new Set();
      for (const id of ids) {
        if (is_shown) shown.add(id);
        else shown.delete(id);
        void fetchNew(id);
      }
      changed();
    },
    onChange: (listener) => void listeners.push(listener),
  };
}

const isCurrent = (run: RunSummary, known: RunMetrics | undefined): boolean =>
  known !== undefined &&
  known.generation === run.generation &&
  known.steps.length >= run.num_steps &&
  known.evaluations.length >= run.num_evaluations;

const newest = (runs: readonly RunSummary[]): readonly RunSummary[] =>
  [...runs].sort((a, b) => (b.started_at ?? "").localeCompare(a.started_at ?? "")).slice(0, num_shown_at_first);

function merged(known: RunMetrics | undefined, news: MetricsResponse): RunMetrics {
  const is_same = known?.generation === news.generation && known.steps.length === news.from_step;
  const base: RunMetrics = is_same
    ? known
    : { generation: news.generation, steps: [], metrics: new Map(), evaluations: [] };
  const before = base.steps.length;
  base.steps = [...base.steps, ...news.steps];
  base.evaluations = [...base.evaluations.slice(0, news.from_evaluation), ...news.evaluations];
  for (const [name, values] of Object.entries(news.metrics)) {
    const column = base.metrics.get(name) ?? new Array<number | null>(before).fill(null);
    base.metrics.set(name, [...column, ...values]);
  }
  for (const [name, column] of base.metrics)
    if (column.length < base.steps.length)
      base.metrics.set(name, [...column, ...new Array<null>(base.steps.length - column.length).fill(null)]);
  return base;
}
