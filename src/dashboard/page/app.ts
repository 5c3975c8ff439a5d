import { curvesView } from "./curves.js";
import { byId } from "./dom.js";
import { runList } from "./run-list.js";
import { runsView } from "./runs-view.js";
import { samplesView } from "./samples.js";
import { openStore } from "./store.js";

const connection = byId("connection");
const store = openStore((text, is_live) => {
  connection.textContent = text;
  connection.classList.toggle("live", is_live);
});

const views = ["curves", "samples", "runs"] as const;
const list = runList(store);
const curves = curvesView(byId("view-curves"), store);
const samples = samplesView(byId("view-samples"), store);
const runs = runsView(byId("view-runs"), store);

function route(): void {
  const [name = "", ...path] = location.hash.slice(1).split("/");
  const current = views.find((view) => view === name) ?? "curves";
  for (const view of views) byId(`view-${view}`).hidden = view !== current;
  for (const link of document.querySelectorAll("header nav a"))
    if (link.getAttribute("href") === `#${current}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  document.body.dataset["view"] = current;
  if (current === "samples") samples.open(path);
  if (current === "curves") curves.update();
  if (current === "runs") runs.update();
}

store.onChange(() => {
  const running = [...store.runs.values()].filter(({ state }) => state === "running").length;
  if (connection.classList.contains("live")) connection.textContent = running > 0 ? `live, ${running} running` : "live";
  list.update();
  if (!byId("view-curves").hidden) curves.update();
  samples.update();
  runs.update();
});
byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says which view is shown
  byId("main").focus();
});
addEventListener("hashchange", route);
route();
