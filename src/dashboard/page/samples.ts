import type { SampleDetails, SampleRow, SamplesResponse } from "../api.js";
import { choice, debounced, element, getJson } from "./dom.js";
import { short } from "./format.js";
import { sampleView } from "./sample-view.js";
import type { Store } from "./store.js";
import type { TokenColouring } from "./tokens.js";
import { virtualList } from "./virtual-list.js";

const page_size = 100;

/** Every sample of a run: a filtered list at the left, one sample at the right. `#samples/<run>/<step>/<row>` links to one. */
export function samplesView(root: HTMLElement, store: Store): { update(): void; open(path: readonly string[]): void } {
  const filters = new Map<string, string>();
  let run_id = "";
  let colouring: TokenColouring = "logprob";
  let asked_steps = -1;
  let opened = "";

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

  const refresh = async (is_same_list: boolean): Promise<void> => {
    const run = store.runs.get(run_id);
    if (run === undefined) return;
    asked_steps = run.num_steps;
    if (!is_same_list) count.textContent = "looking…";
    try {
      const { total, num_samples, first_step, last_step } = await getJson<SamplesResponse>(
        `/api/runs/${run_id}/samples?${query({ limit: 0 })}`,
      );
      const steps = num_samples === 0 ? "" : `, steps ${first_step} to ${last_step}`;
      count.textContent =
        num_samples === 0
          ? "No samples are stored for this run."
          : `${total.toLocaleString("en")} of ${num_samples.toLocaleString("en")}${steps}`;
      list.reset(total, is_same_list);
      if (opened === "" && total > 0) list.select(0);
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
    opened = `${run_id}/${step}/${row}`;
    const wanted = opened;
    const made = await getJson<SampleDetails>(`/api/runs/${run_id}/samples/${step}/${row}`).then(
      (sample) =>
        sampleView(sample, {
          run_id,
          colouring,
          onColouring: (picked) => (colouring = picked),
          onOther: (other) => show(step, other),
        }),
      (error: Error) => element("p", { class: "empty" }, `This sample cannot be shown: ${error.message}`),
    );
    if (wanted === opened) detail.replaceChildren(made);
  };

  const run_choice = choice("Run", [], (id) => {
    run_id = id;
    history.replaceState(null, "", `#samples/${id}`);
    void refresh(false);
  });
  root.append(
    filterBar(run_choice.root, setFilter),
    element("div", { class: "split" }, element("div", { class: "list" }, count, list.root), detail),
  );

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
        [run_id, asked_steps] = [id, -1];
        list.reset(0, false);
      }
      update();
      if (step !== undefined && row !== undefined && opened !== `${run_id}/${step}/${row}`)
        void load(Number(step), Number(row));
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

function filterBar(run_choice: HTMLElement, setFilter: (name: string, value: string) => void): HTMLElement {
  const yes_no = (name: string, yes: string, no: string): HTMLElement =>
    choice(
      name,
      [
        ["", "all"],
        ["yes", yes],
        ["no", no],
      ],
      (value) => setFilter(name.toLowerCase(), value),
    ).root;
  const step = (name: string, label: string): HTMLElement => {
    const input = element("input", {
      type: "number",
      min: 0,
      "aria-label": `${label} step`,
      placeholder: label,
      class: "step",
    });
    input.addEventListener("input", () => setFilter(name, /^\d{1,9}$/.test(input.value) ? input.value : ""));
    return input;
  };
  const text = element("input", {
    type: "search",
    placeholder: "Text",
    "aria-label": "Text in completion or answer",
    maxlength: 200,
  });
  text.addEventListener("input", () => setFilter("text", text.value.trim()));
  const orders = [
    ["step", "first steps"],
    ["-step", "last steps"],
    ["-reward", "highest reward"],
    ["reward", "lowest reward"],
    ["-length", "longest"],
    ["length", "shortest"],
  ] as const;
  return element(
    "div",
    { class: "toolbar", role: "toolbar", "aria-label": "Which samples are listed" },
    run_choice,
    yes_no("Correct", "correct", "wrong"),
    yes_no("Truncated", "truncated", "finished"),
    yes_no("Reflective", "reflective", "not"),
    element("span", { class: "steps" }, "Steps", step("from_step", "first"), step("to_step", "last")),
    choice("Order", orders, (value) => setFilter("order", value)).root,
    text,
  );
}
