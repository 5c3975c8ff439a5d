type Child = Node | string;
type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** An element; attributes that are false or undefined are left out. Text is never parsed as HTML. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : String(value));
  made.append(...children);
  return made;
}

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** A labelled `<select>`; `onPick` hears of every choice. */
export function choice(
  label: string,
  options: readonly (readonly [value: string, text: string])[],
  onPick: (value: string) => void,
): { readonly root: HTMLLabelElement; readonly select: HTMLSelectElement } {
  const select = element("select", {}, ...options.map(([value, text]) => element("option", { value }, text)));
  select.addEventListener("change", () => onPick(select.value));
  return { root: element("label", { class: "choice" }, `${label} `, select), select };
}

/** A labelled checkbox. */
export function checkbox(label: string, is_on: boolean, onPick: (is_on: boolean) => void): HTMLLabelElement {
  const input = element("input", { type: "checkbox", checked: is_on });
  input.addEventListener("change", () => onPick(input.checked));
  return element("label", { class: "check" }, input, ` ${label}`);
}

/** Calls once after the last of several calls. */
export function debounced(work: () => void, wait_ms: number): () => void {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, wait_ms);
  };
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(path, signal === undefined ? {} : { signal });
  if (!response.ok) throw new Error((await response.text()).trim() || `${response.status} ${response.statusText}`);
  return (await response.json()) as T;
}
