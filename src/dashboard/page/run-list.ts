import type { RunSummary } from "../api.js";
import { colourOf } from "./curve-topics.js";
import { byId, element } from "./dom.js";
import type { Store } from "./store.js";

/** The runs at the left, by group: ticked ones are shown. */
export function runList(store: Store): { update(): void } {
  const list = byId("run-list");
  const filter = byId<HTMLInputElement>("run-filter");
  filter.addEventListener("input", () => update());

  const update = (): void => {
    const focused =
      document.activeElement?.getAttribute("data-run") ?? document.activeElement?.getAttribute("data-group");
    const wanted = filter.value.trim().toLowerCase();
    const runs = [...store.runs.values()].filter(({ name }) => name.toLowerCase().includes(wanted));
    const groups = Map.groupBy(runs, ({ group }) => group);
    list.replaceChildren(...[...groups.values()].map((members) => groupItem(members, store)));
    list.querySelector<HTMLElement>(`[data-run="${focused}"],[data-group="${focused}"]`)?.focus();
    showProblems(runs);
  };
  return { update };
}

function groupItem(members: readonly RunSummary[], store: Store): HTMLLIElement {
  const [first] = members as [RunSummary];
  if (members.length === 1) return runItem(first, store, first.name);
  const num_shown = members.filter(({ id }) => store.shown.has(id)).length;
  const box = element("input", {
    type: "checkbox",
    checked: num_shown === members.length,
    "data-group": `g${first.group}`,
  });
  box.indeterminate = num_shown > 0 && num_shown < members.length;
  const ids = members.map(({ id }) => id);
  box.addEventListener("change", () => store.show(ids, box.checked));
  const prefix = commonFolder(members.map(({ name }) => name));
  return element(
    "li",
    { class: "group" },
    element(
      "label",
      {},
      box,
      element("i", { class: `swatch fill-${first.group % 8}` }),
      element("span", { class: "name" }, first.group_name),
      element("small", {}, `${members.length} seeds`),
    ),
    element("ul", {}, ...members.map((run) => runItem(run, store, run.name.slice(prefix.length)))),
  );
}

function runItem(run: RunSummary, store: Store, name: string): HTMLLIElement {
  const { id, state, step, total_steps, problems } = run;
  const box = element("input", { type: "checkbox", checked: store.shown.has(id), "data-run": id });
  box.addEventListener("change", () => store.show([id], box.checked));
  const progress = total_steps === null ? `${step}` : state === "finished" ? `${step}` : `${step} / ${total_steps}`;
  return element(
    "li",
    { class: `run ${state}` },
    element(
      "label",
      { title: `${run.name}: ${state}, step ${progress}${problems.length > 0 ? `, ${problems.length} problems` : ""}` },
      box,
      element("i", { class: `swatch fill-${(run.group_name === run.name ? run.group : colourOf(run, store)) % 8}` }),
      element("span", { class: "name" }, name),
      element("small", {}, state === "finished" ? progress : `${state} ${progress}`),
    ),
  );
}

const commonFolder = (names: readonly string[]): string => {
  const folder = names[0]!.slice(0, names[0]!.lastIndexOf("/") + 1);
  return names.every((name) => name.startsWith(folder)) ? folder : "";
};

function showProblems(runs: readonly RunSummary[]): void {
  const root = byId<HTMLDetailsElement>("problems");
  const lines = runs.flatMap(({ name, problems }) => problems.map((problem) => `${name}/${problem}`));
  root.hidden = lines.length === 0;
  root.querySelector("summary")!.textContent = lines.length === 1 ? "1 problem" : `${lines.length} problems`;
  root.querySelector("ul")!.replaceChildren(...lines.map((line) => element("li", {}, line)));
}
