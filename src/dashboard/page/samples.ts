import type { SampleDetails, SampleRow, SamplesResponse } from "../api.js";
import { choice, debounced, element, getJson } from "./dom.js";
import { short } from "./format.js";
import { filterBar } from "./sample-filters.js";
import { sampleView } from "./sample-view.js";
import type { Store } from "./store.js";
import type { TokenColouring } from "./tokens.js";
import { virtualList } from "./virtual-list.js";

const page_size = 100;

interface Place {
  readonly step: number;
  readonly row: number;
}

/** Every sample of a run: a filtered list at the left, one sample at the right. `#samples/<run>/<step>/<row>` links to one. */
export function samplesView(root: HTMLElement, store: Store): { update(): void; open(path: readonly string[]): void } {
  const filters = new Map<string, string>();
  let run_id = "";
  let colouring: TokenColouring = "logprob";
  let asked_steps = -1;
  /** The sample at the right. */
  let opened: Place | undefined;

  const query = (more: Readonly<Record<string, string | number>> = {}): string =>
    new URLSearchParams(
      [...filters, ...Object.entries(more).map(([name, value]) => [name, String(value)] as const)].map(
        ([name, value]) => [name, value],
      ),
    ).toString();
  const count = element("p", { class: "count", role: "status" });
  const detail = element(
    "div",
    { class: "detail" },
    element("p", { class: "empty" }, "Choose a sample: click it, or use the arrow keys."),
  );
  const list = virtualList<SampleRow>({
    ...{ label: "Samples", row_height: 58, page_size },
    fetchPage: async (offset, limit, signal) =>
      (await getJson<SamplesResponse>(`/api/runs/${run_id}/samples?${query({ offset, limit })}`, signal)).rows,
    render: rowContents,
    onSelect: ({ step, row }) => show(step, row),
  });

  /** Of the list, and where a sample stands in it. */
  const summary = (at: Place | undefined): Promise<SamplesResponse> =>
    getJson(`/api/runs/${run_id}/samples?${query({ limit: 0, ...(at && { at_step: at.step, at_row: at.row }) })}`);
  /** Whether the selection is still where it was now: an answer that comes late must not take it back. */
  const unmoved = (): (() => boolean) => {
    const [run, place, index] = [run_id, opened, list.selected];
    return () => run === run_id && place === opened && index === list.selected;
  };
  const locate = async (): Promise<void> => {
    const isCurrent = unmoved();
    const { position } = await summary(opened);
    if (isCurrent()) list.mark(position ?? -1, true);
  };

  const refresh = async (is_same_list: boolean): Promise<void> => {
    const run = store.runs.get(run_id);
    if (run === undefined) return;
    asked_steps = run.num_steps;
    if (!is_same_list) count.textContent = "looking…";
    const wanted_run = run_id;
    const isCurrent = unmoved();
    try {
      const { total, num_samples, first_step, last_step, position } = await summary(opened);
      if (wanted_run !== run_id) return;
      const steps = num_samples === 0 ? "" : `, steps ${first_step} to ${last_step}`;
      count.textContent =
        num_samples === 0
          ? "No samples are stored for this run."
          : `${total.toLocaleString("en")} of ${num_samples.toLocaleString("en")}${steps}`;
      list.reset(total, is_same_list);
      if (opened === undefined) list.select(0);
      else if (isCurrent()) list.mark(position ?? -1, !is_same_list);
    } catch (error) {
      count.textContent = String((error as Error).message);
    }
  };
  const filtered = debounced(() => void refresh(false), 120);
  const setFilter = (name: string, value: string): void => {
    if (value === "") filters.delete(name);
    else filters.set(name, value);
    filtered();
  };

  const show = (step: number, row: number): void => {
    const address = `#samples/${run_id}/${step}/${row}`;
    if (location.hash !== address) history.replaceState(null, "", address);
    void load(step, row);
  };
  const load = async (step: number, row: number): Promise<void> => {
    const wanted = { step, row };
    opened = wanted;
    const made = await getJson<SampleDetails>(`/api/runs/${run_id}/samples/${step}/${row}`).then(
      (sample) =>
        sampleView(sample, {
          run_id,
          colouring,
          onColouring: (picked) => (colouring = picked),
          onOther: (other) => {
            show(step, other);
            void locate();
          },
        }),
      (error: Error) => element("p", { class: "empty" }, `This sample cannot be shown: ${error.message}`),
    );
    if (wanted === opened) detail.replaceChildren(made);
  };

  const run_choice = choice("Run", [], (id) => {
    [run_id, opened] = [id, undefined];
    history.replaceState(null, "", `#samples/${id}`);
    void refresh(false);
  });
  root.append(
    filterBar(run_choice.root, setFilter),
    element("div", { class: "split" }, element("div", { class: "list" }, count, list.root), detail),
  );

  detail.addEventListener("keydown", (event) => {
    if (event.key === "Escape") list.root.focus();
  });

  const update = (): void => {
    if (root.hidden) return;
    const runs = [...store.runs.values()];
    const options = runs.map(({ id, name }) => element("option", { value: id, selected: id === run_id }, name));
    if (run_choice.select.options.length !== options.length || run_choice.select.value !== run_id)
      run_choice.select.replaceChildren(...options);
    if (run_id === "" && runs.length > 0) {
      run_id = store.shownRuns()[0]?.id ?? runs[0]!.id;
      run_choice.select.value = run_id;
    }
    const run = store.runs.get(run_id);
    if (run !== undefined && run.num_steps !== asked_steps) void refresh(asked_steps >= 0);
  };
  return {
    update,
    open: ([id, step, row]) => {
      if (id !== undefined && id !== "" && id !== run_id) {
        [run_id, asked_steps, opened] = [id, -1, undefined];
        list.reset(0, false);
      }
      const [wanted_step, wanted_row] = [Number(step), Number(row)];
      const is_other = wanted_step !== opened?.step || wanted_row !== opened.row;
      if (step !== undefined && row !== undefined && is_other) {
        void load(wanted_step, wanted_row);
        if (asked_steps >= 0) void locate();
      }
      update();
    },
  };
}

function rowContents({ step, reward, is_correct, is_truncated, length, completion }: SampleRow): readonly Node[] {
  const verdict = is_correct === null ? "" : is_correct ? "correct" : "wrong";
  const facts = [`step ${step}`, `reward ${short(reward)}`, `${length} tokens`, ...(is_truncated ? ["truncated"] : [])];
  return [
    element("span", { class: `mark ${verdict}`, "aria-hidden": "true" }),
    element(
      "p",
      { class: "facts" },
      ...(verdict === "" ? [] : [element("b", { class: verdict }, verdict), " · "]),
      facts.join(" · "),
    ),
    element("p", { class: "preview" }, completion.replace(/\s+/g, " ") || "(empty)"),
  ];
}
