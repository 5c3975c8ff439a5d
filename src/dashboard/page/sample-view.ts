import type { SampleDetails, TokenValue } from "../api.js";
import { element } from "./dom.js";
import { short } from "./format.js";
import { colourings, type TokenColouring, tokenLegend, tokenText } from "./tokens.js";

export interface SampleViewOptions {
  readonly run_id: string;
  readonly colouring: TokenColouring;
  readonly onColouring: (colouring: TokenColouring) => void;
  readonly onOther: (row: number) => void;
}

/** One sample: image, prompt, completion, reward, and the others of its group. */
export function sampleView(sample: SampleDetails, options: SampleViewOptions): HTMLElement {
  const { step, row, is_correct, is_truncated, reward, length, prompt, answer } = sample;
  const verdict = is_correct === null ? "not graded for accuracy" : is_correct ? "correct" : "wrong";
  const facts = [
    `step ${step}, row ${row}`,
    `sample ${sample.sample_id}`,
    `policy version ${sample.policy_version}`,
    `${length} tokens`,
    is_truncated ? "truncated" : `finished by ${sample.finish_reason}`,
  ];
  return element(
    "article",
    { class: "sample-view", "aria-label": `sample of step ${step}, ${verdict}` },
    element(
      "div",
      { class: "sample-head" },
      element(
        "h2",
        {},
        element("span", { class: is_correct === null ? "" : verdict }, verdict),
        ` · reward ${short(reward)}`,
      ),
      element("p", { class: "muted" }, facts.join(" · ")),
      groupStrip(sample, options.onOther),
    ),
    images(sample, options.run_id),
    element("h3", {}, "Prompt"),
    element(
      "pre",
      { class: "prompt" },
      prompt.replace(/(<\|[^|>]+\|>)\1{2,}/g, (all, one: string) => `${one}×${all.length / one.length} `),
    ),
    completion(sample, options),
    element("h3", {}, "Answer"),
    element("pre", {}, answer),
    rewardTable(sample),
  );
}

function images({ image_ids }: SampleDetails, run_id: string): HTMLElement {
  return element(
    "div",
    { class: "images" },
    ...image_ids.map((id, i) => {
      const image = element("img", {
        src: `/api/runs/${run_id}/images/${id}`,
        alt: `image ${i + 1} of ${image_ids.length} of the prompt`,
      });
      image.addEventListener("error", () =>
        image.replaceWith(element("p", { class: "muted" }, `image ${id.slice(0, 12)}… is not stored`)),
      );
      return image;
    }),
  );
}

function completion({ tokens }: SampleDetails, { colouring, onColouring }: SampleViewOptions): HTMLElement {
  const status = element(
    "p",
    { class: "token-status", role: "status" },
    "Point at a token, or walk with the arrow keys.",
  );
  const known = (Object.keys(colourings) as TokenValue[]).filter((name) => tokens.values[name] !== undefined);
  const place = element("div");
  const draw = (wanted: TokenColouring): void => {
    const chosen = wanted === "none" || known.includes(wanted) ? wanted : "none";
    place.replaceChildren(tokenText(tokens, chosen, status), tokenLegend(chosen));
  };
  const pick = (name: TokenColouring, label: string): HTMLElement => {
    const input = element("input", { type: "radio", name: "colouring", value: name, checked: name === colouring });
    input.addEventListener("change", () => {
      onColouring(name);
      draw(name);
    });
    return element("label", {}, input, element("span", {}, label));
  };
  draw(colouring);
  return element(
    "div",
    { class: "completion" },
    element(
      "div",
      { class: "completion-head" },
      element("h3", {}, "Completion"),
      element(
        "fieldset",
        { class: "segments" },
        element("legend", {}, "Colour tokens by"),
        ...known.map((name) => pick(name, colourings[name].label)),
        pick("none", "none"),
      ),
    ),
    place,
    status,
  );
}

function rewardTable({ reward, reward_breakdown }: SampleDetails): HTMLElement {
  const parts = Object.entries(reward_breakdown).map(([name, value]) => row(name, value));
  return element(
    "table",
    { class: "rewards" },
    element("caption", {}, "Reward: the parts before their weights, and the weighted sum"),
    element("tbody", {}, ...parts, row("reward", reward)),
  );
}

const row = (name: string, value: number): HTMLElement =>
  element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, short(value)));

/** Every completion of the prompt as a button. */
function groupStrip({ group, row: own }: SampleDetails, onOther: (row: number) => void): HTMLElement {
  const buttons = group.map(({ row: other, reward, is_correct }, i) => {
    const verdict = is_correct === null ? "" : is_correct ? "correct" : "wrong";
    const button = element(
      "button",
      {
        type: "button",
        class: `member ${verdict}`,
        "aria-current": other === own ? "true" : undefined,
        "aria-label": `completion ${i + 1} of ${group.length}: ${verdict}, reward ${short(reward)}`,
        title: `reward ${short(reward)}`,
      },
      String(i + 1),
    );
    button.addEventListener("click", () => onOther(other));
    return button;
  });
  const num_correct = group.filter(({ is_correct }) => is_correct === true).length;
  const text =
    group[0]?.is_correct === null ? `${group.length} completions` : `${num_correct} of ${group.length} correct`;
  return element("div", { class: "strip" }, element("span", { class: "muted" }, `Same prompt, ${text}:`), ...buttons);
}
