import type { TokenDetails, TokenValue } from "../api.js";
import { element } from "./dom.js";
import { signed } from "./format.js";

export type TokenColouring = TokenValue | "none";

interface Colouring {
  readonly label: string;
  readonly explanation: string;
  /** Ends of the legend: what the left and the right colour mean. */
  readonly ends: readonly [left: string, right: string];
  /** -1 to 1: how much of the one colour or the other. */
  readonly strength: (value: number) => number;
}

export const colourings: Readonly<Record<TokenValue, Colouring>> = {
  logprob: {
    ...{ label: "log-prob", explanation: "of the sampled token, nats; full colour at −3" },
    ends: ["−3 or less", "0"],
    strength: (value) => Math.max(-1, value / 3),
  },
  advantage: {
    ...{ label: "advantage", explanation: "full colour at ±2" },
    ends: ["−2", "+2"],
    strength: (value) => value / 2,
  },
  ratio: {
    ...{ label: "ratio", explanation: "trainer's probability over the sampler's; full colour at a factor of 1.2" },
    ends: ["1 / 1.2", "1.2"],
    strength: (value) => Math.log(value) / Math.log(1.2),
  },
  reference: {
    ...{ label: "policy − reference", explanation: "difference of the log-probs, nats; full colour at ±1" },
    ends: ["−1", "+1"],
    strength: (value) => value,
  },
};

const steps = 8;

/** The completion, token by token. Arrow keys walk through it; what a token is stands in `status`. */
export function tokenText(tokens: TokenDetails, colouring: TokenColouring, status: HTMLElement): HTMLElement {
  const { ids, texts, reflection, values } = tokens;
  const column = colouring === "none" ? undefined : values[colouring];
  const marks = ids.map((id, i) => {
    const text = texts === null ? `⟨${id}⟩` : texts[i]!;
    const value = column?.[i];
    const class_name = [
      "token",
      value === undefined ? "" : shade(value, colouring as TokenValue),
      reflection[i]! >= 0 ? "reflection" : "",
      /^<\|.*\|>$/.test(text) ? "special" : "",
    ]
      .filter(Boolean)
      .join(" ");
    return element("span", { class: class_name, "data-token": i }, text.replaceAll("\n", "↵\n"));
  });
  const root = element(
    "div",
    {
      class: "tokens",
      tabindex: 0,
      role: "group",
      "aria-label": "completion, token by token; arrow keys walk through it",
    },
    ...marks,
  );
  let at = -1;
  const point = (index: number): void => {
    marks[at]?.classList.remove("current");
    at = Math.max(0, Math.min(marks.length - 1, index));
    marks[at]?.classList.add("current");
    status.textContent = describe(tokens, at);
  };
  root.addEventListener("pointerover", (event) => {
    const found = (event.target as HTMLElement).getAttribute("data-token");
    if (found !== null) point(Number(found));
  });
  root.addEventListener("keydown", (event) => {
    const moves: Readonly<Record<string, number>> = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    const move = moves[event.key];
    if (move === undefined || marks.length === 0) return;
    event.preventDefault();
    event.stopPropagation();
    point(at < 0 && move === 1 ? 0 : move === Infinity ? marks.length - 1 : move === -Infinity ? 0 : at + move);
    marks[at]?.scrollIntoView({ block: "nearest" });
  });
  return root;
}

function shade(value: number, colouring: TokenValue): string {
  const strength = Math.max(-1, Math.min(1, colourings[colouring].strength(value)));
  const level = Math.round(Math.abs(strength) * steps);
  if (!Number.isFinite(strength) || level === 0) return "";
  return `${strength < 0 ? "low" : "high"}-${level}`;
}

function describe({ ids, texts, values }: TokenDetails, i: number): string {
  const text = texts === null ? "" : `${JSON.stringify(texts[i])}, `;
  const { logprob, advantage, ratio, reference } = values;
  const parts = [
    `token ${i + 1} of ${ids.length}: ${text}id ${ids[i]}`,
    ...(logprob === undefined ? [] : [`log-prob ${signed(logprob[i]!)} (p ${Math.exp(logprob[i]!).toPrecision(3)})`]),
    ...(advantage === undefined ? [] : [`advantage ${signed(advantage[i]!)}`]),
    ...(ratio === undefined ? [] : [`ratio ${ratio[i]!.toFixed(4)}`]),
    ...(reference === undefined ? [] : [`policy − reference ${signed(reference[i]!)}`]),
  ];
  return parts.join(" · ");
}

/** The colours with what they stand for. */
export function tokenLegend(colouring: TokenColouring): HTMLElement {
  if (colouring === "none") return element("p", { class: "token-legend" });
  const { ends, explanation } = colourings[colouring];
  const levels = Array.from({ length: 2 * steps + 1 }, (_, i) => i - steps).filter(
    (level) => colouring !== "logprob" || level <= 0,
  );
  const scale = levels.map((level) =>
    element("i", { class: level < 0 ? `low-${-level}` : level > 0 ? `high-${level}` : "" }),
  );
  return element(
    "p",
    { class: "token-legend" },
    ends[0],
    element("span", { class: "scale", "aria-hidden": "true" }, ...scale),
    ends[1],
    element("span", { class: "muted" }, ` ${explanation}`),
  );
}
