import { figureStyle, ofPage, palette } from "../figures/theme.js";

const lines = (colours: readonly string[]): string => colours.map((colour, i) => `--line-${i}:${colour}`).join(";");
const light = `--text:#1b1e24;--muted:#5b6270;--grid:#e8eaee;--axis:#9aa1ad;--page:#fff;--panel:#f6f7f9;--rule:#dfe2e7;--on-bar:#fff;--good:#14805a;--bad:#b53333;${lines(palette.light)}`;
const dark = `--text:#e6e8ec;--muted:#9ba3b0;--grid:#262b33;--axis:#596170;--page:#101318;--panel:#181c22;--rule:#2a3038;--on-bar:#101318;--good:#57c796;--bad:#ff8a8a;${lines(palette.dark)}`;

/** Rules of the report's page. On paper it is light, whatever the screen. */
export const page_style = `
:root{${light};color-scheme:light dark}
@media screen and (prefers-color-scheme:dark){:root{${dark}}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1144px;padding:40px 32px 64px;background:var(--page);color:var(--text);font:15px/1.5 system-ui,"Segoe UI","Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:28px;line-height:1.2;letter-spacing:-.015em;margin:2px 0 8px;overflow-wrap:anywhere}
h2{font-size:17px;margin:44px 0 12px;padding-top:12px;border-top:1px solid var(--rule)}
.kind{margin:0;color:var(--muted);font-size:13px}
.lead{margin:0 0 16px;color:var(--muted);max-width:80ch}
nav a{color:inherit;margin-right:18px;font-size:14px;text-underline-offset:3px}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 22px;margin:18px 0 0;padding:0}
.legend i{display:inline-block;width:16px;height:3px;border-radius:2px;vertical-align:middle;margin-right:8px}
.legend small{color:var(--muted)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:26px 20px}
figure{margin:0;break-inside:avoid}
.curve{position:relative}
.curve svg,.wide svg{width:100%;height:auto;display:block;overflow:visible}
figcaption{color:var(--muted);font-size:12.5px;line-height:1.4}
.curve figcaption{margin:2px 0 0 12px}
.table{margin:26px 0}.table figcaption{margin-bottom:8px}.table figcaption strong{color:var(--text);font-size:14px;margin-right:6px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th,td{padding:5px 14px 5px 0;border-bottom:1px solid var(--rule);text-align:right;vertical-align:top;white-space:nowrap}
th[scope=row],.text{text-align:left;font-weight:400;white-space:normal}
thead th{color:var(--muted);font-weight:500;border-bottom-color:var(--axis)}
.bottleneck{margin:10px 0 0}
.samples{display:grid;grid-template-columns:repeat(auto-fill,minmax(480px,1fr));gap:16px}
.sample{display:flex;gap:14px;background:var(--panel);border-radius:6px;padding:12px;border-left:3px solid var(--axis);break-inside:avoid}
.sample mark{background:none;color:inherit;font-weight:700;text-decoration:underline;text-underline-offset:3px}
.sample.correct{border-color:var(--good)}.sample.wrong{border-color:var(--bad)}
.sample img{width:112px;height:112px;object-fit:contain;image-rendering:auto;border-radius:3px}
.facts{margin:0;color:var(--muted);font-size:12.5px}
pre{margin:4px 0;font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
details{border-bottom:1px solid var(--rule);padding:8px 0}summary{cursor:pointer;font-weight:600}
.facts-table{width:auto;margin:10px 0}.config{background:var(--panel);border-radius:6px;padding:14px;max-height:520px;overflow:auto}
.problems{border-left:3px solid var(--bad);padding-left:14px}.problems h2{border:0;margin:18px 0 4px;padding:0}
.problems ul{margin:0;padding-left:18px;font-size:13.5px}
footer{margin-top:48px;color:var(--muted);font-size:12.5px}
.tip{position:absolute;pointer-events:none;background:var(--panel);border:1px solid var(--rule);border-radius:4px;padding:4px 8px;font-size:12px;line-height:1.45;white-space:nowrap;z-index:2}
.tip i{display:inline-block;width:10px;height:3px;margin-right:6px;vertical-align:middle}
.cursor{stroke:var(--axis);stroke-dasharray:2 3}
@media print{body{max-width:none;padding:0;font-size:11px}nav{display:none}.grid{grid-template-columns:repeat(3,1fr);gap:14px}h2{break-after:avoid}details{break-inside:avoid}.config{max-height:none;font-size:9px}@page{margin:14mm}}
@media (max-width:560px){body{padding:24px 16px}.samples{grid-template-columns:1fr}}
${figureStyle(ofPage)}`;

/** Values under the pointer. The page says all without it. */
export const hover_script = `
for (const figure of document.querySelectorAll("[data-figure]")) {
  const { unit, series } = JSON.parse(figure.dataset.figure);
  const svg = figure.querySelector("svg");
  const axis = svg.querySelector(".axis").getBBox();
  const all = series.flatMap((one) => one.points.map((point) => point[0]));
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const show = (value) => unit === "share" ? (100 * value).toFixed(1) + " %" : String(Number(value.toPrecision(4)));
  let tip, cursor;
  const leave = () => { tip?.remove(); cursor?.remove(); tip = cursor = undefined; };
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("pointermove", (event) => {
    leave();
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
    const wanted = low + (x - axis.x) / axis.width * (high - low);
    if (!(wanted >= low && wanted <= high)) return;
    const nearest = (points) => points.reduce((a, b) => Math.abs(b[0] - wanted) < Math.abs(a[0] - wanted) ? b : a);
    const found = series.filter((one) => one.points.length > 0).map((one) => [one, nearest(one.points)]);
    if (found.length === 0) return;
    const at = axis.x + (found[0][1][0] - low) / (high - low || 1) * axis.width;
    cursor = document.createElementNS(svg.namespaceURI, "path");
    cursor.setAttribute("class", "cursor");
    cursor.setAttribute("d", "M" + at + " 26V" + axis.y);
    svg.append(cursor);
    tip = document.createElement("div");
    tip.className = "tip";
    tip.append("step " + found[0][1][0]);
    for (const [one, point] of found) {
      const row = document.createElement("div"), mark = document.createElement("i");
      mark.style.background = "var(--line-" + one.colour % 8 + ")";
      row.append(mark, one.name + "  " + show(point[1]));
      tip.append(row);
    }
    figure.append(tip);
    const left = at * box.width / svg.viewBox.baseVal.width;
    tip.style.top = "28px";
    tip.style.left = left + 12 + tip.offsetWidth > box.width ? left - 12 - tip.offsetWidth + "px" : left + 12 + "px";
  });
}
`;
