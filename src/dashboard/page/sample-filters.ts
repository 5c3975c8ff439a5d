import { choice, element } from "./dom.js";

/** Which samples are listed, and in which order. `setFilter` hears of every change; an empty value takes a filter away. */
export function filterBar(run_choice: HTMLElement, setFilter: (name: string, value: string) => void): HTMLElement {
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
