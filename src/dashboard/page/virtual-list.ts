import { element } from "./dom.js";

export interface VirtualList {
  readonly root: HTMLElement;
  readonly selected: number;
  /** How many rows there are now; those that are held are fetched anew, and shown meanwhile if the list is the same. */
  reset(total: number, is_same_list: boolean): void;
  select(index: number): void;
  /** The same without telling anyone, or none for -1; `into_view` scrolls there. */
  mark(index: number, into_view: boolean): void;
}

export interface VirtualListOptions<T> {
  readonly label: string;
  readonly row_height: number;
  readonly page_size: number;
  readonly fetchPage: (offset: number, limit: number, signal: AbortSignal) => Promise<readonly T[]>;
  readonly render: (item: T) => readonly (Node | string)[];
  readonly onSelect: (item: T, index: number) => void;
}

/** Browsers cannot scroll further than this. */
const max_height = 12_000_000;

/** A list box of any length, of which only what is seen is in the page. Pages of items are fetched as they are needed. */
export function virtualList<T>(options: VirtualListOptions<T>): VirtualList {
  const { label, row_height, page_size } = options;
  const spacer = element("div", { class: "spacer" });
  const root = element("div", { class: "virtual", role: "listbox", tabindex: 0, "aria-label": label }, spacer);
  let total = 0;
  let selected = -1;
  let pages = new Map<number, readonly T[]>();
  /** Shown until the same page has been fetched anew. */
  let old_pages = new Map<number, readonly T[]>();
  let waiting = new Map<number, AbortController>();
  let shown: {
    readonly index: number;
    readonly item: T | undefined;
    readonly is_selected: boolean;
    readonly node: HTMLElement;
  }[] = [];

  const height = (): number => Math.min(max_height, total * row_height);
  /** Beyond what can be scrolled, the bar stands for a share of the list. */
  const firstRow = (): number => {
    const room = root.clientHeight;
    const rows_in_room = room / row_height;
    if (height() < max_height) return root.scrollTop / row_height;
    return (root.scrollTop / (max_height - room)) * (total - rows_in_room);
  };
  const itemAt = (index: number): T | undefined => {
    const page = Math.floor(index / page_size);
    return (pages.get(page) ?? old_pages.get(page))?.[index % page_size];
  };

  const need = (page: number): void => {
    if (pages.has(page) || waiting.has(page)) return;
    const stop = new AbortController();
    waiting.set(page, stop);
    const [held, asked] = [pages, waiting];
    options
      .fetchPage(page * page_size, page_size, stop.signal)
      .then((items) => held.set(page, items))
      .catch(() => undefined) // asked again when it is next seen
      .finally(() => {
        asked.delete(page);
        if (held === pages) draw();
      });
  };

  const draw = (): void => {
    const first = Math.max(0, Math.floor(firstRow()) - 4);
    const last = Math.min(total - 1, Math.ceil(firstRow() + root.clientHeight / row_height) + 4);
    for (let page = Math.floor(first / page_size); page * page_size <= last; page++) need(page);
    for (const [page, stop] of waiting) if ((page + 1) * page_size < first || page * page_size > last) stop.abort();
    const kept = new Map(shown.map((row) => [row.index, row]));
    const offset = root.scrollTop - firstRow() * row_height;
    shown = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => {
      const index = first + i;
      const [item, is_selected] = [itemAt(index), index === selected];
      const before = kept.get(index);
      const node = before?.item === item && before?.is_selected === is_selected ? before.node : rowOf(index, item);
      node.style.top = `${index * row_height + offset}px`;
      return { index, item, is_selected, node };
    });
    spacer.style.height = `${height()}px`;
    spacer.replaceChildren(...shown.map(({ node }) => node));
    if (selected >= first && selected <= last) root.setAttribute("aria-activedescendant", `option-${selected}`);
    else root.removeAttribute("aria-activedescendant");
  };

  const rowOf = (index: number, item: T | undefined): HTMLElement => {
    const node = element(
      "div",
      {
        role: "option",
        id: `option-${index}`,
        "aria-selected": index === selected ? "true" : "false",
        "aria-setsize": total,
        "aria-posinset": index + 1,
        class: "row",
      },
      ...(item === undefined ? [] : options.render(item)),
    );
    node.addEventListener("click", () => select(index));
    return node;
  };

  const mark = (index: number, into_view: boolean): void => {
    selected = Math.min(total - 1, index);
    if (into_view && selected >= 0) scrollTo(selected);
    draw();
  };
  const scrollTo = (index: number): void => {
    const [top, room] = [index * row_height, root.clientHeight];
    if (height() < max_height) {
      if (top < root.scrollTop) root.scrollTop = top;
      if (top + row_height > root.scrollTop + room) root.scrollTop = top + row_height - room;
    } else if (index < firstRow() || index + 1 > firstRow() + room / row_height)
      root.scrollTop = (index / (total - room / row_height)) * (max_height - room);
  };
  const select = (index: number): void => {
    if (total === 0) return;
    mark(Math.max(0, index), true);
    const item = itemAt(selected);
    if (item !== undefined) options.onSelect(item, selected);
    else void announce(selected);
  };
  const announce = async (index: number): Promise<void> => {
    const [item] = await options.fetchPage(index, 1, new AbortController().signal).catch(() => []);
    if (index === selected && item !== undefined) options.onSelect(item, index);
  };

  root.addEventListener("scroll", () => draw());
  new ResizeObserver(() => draw()).observe(root);
  root.addEventListener("keydown", (event) => {
    const rows_in_room = Math.max(1, Math.floor(root.clientHeight / row_height) - 1);
    const moves: Readonly<Record<string, number>> = {
      ...{ ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: rows_in_room, PageUp: -rows_in_room },
      ...{ Home: -Infinity, End: Infinity },
    };
    const move = moves[event.key];
    if (move === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    select(move === Infinity ? total - 1 : move === -Infinity ? 0 : selected + move);
  });

  return {
    root,
    get selected() {
      return selected;
    },
    reset: (new_total, is_same_list) => {
      for (const stop of waiting.values()) stop.abort();
      old_pages = is_same_list ? new Map([...old_pages, ...pages]) : new Map<number, readonly T[]>();
      pages = new Map();
      waiting = new Map();
      [shown, total] = [[], new_total];
      if (selected >= total) selected = -1;
      draw();
    },
    select,
    mark,
  };
}
