import type { Draw } from "../random.js";
import { type ClassName, class_names, photo_size, type Photos } from "./photos.js";

/** What a grid shows and costs. `cells` in reading order; `photo` counts within the class's pool. */
export interface Grid {
  readonly cells: readonly { readonly name: ClassName; readonly photo: number }[];
  readonly prices: Readonly<Record<ClassName, number>>;
}

export const highest_price = 5;

/**
 * all: any classes, prices 1 to 5. in: as all, but bag and boot never meet in a grid. The others lie outside of `in`:
 * out_pairs has bag and boot in every grid; out_prices has prices 6 to 9, never seen otherwise; out_inverted shows
 * negatives.
 */
export const distributions = ["all", "in", "out_pairs", "out_prices", "out_inverted"] as const;
export type Distribution = (typeof distributions)[number];

const held_out = ["bag", "boot"] as const satisfies readonly ClassName[];

/** Classes, photos and prices are independent and equally likely, as far as the distribution lets them. */
export function drawGrid(draw: Draw, side: number, photos: Photos, distribution: Distribution = "all"): Grid {
  const banned = distribution === "all" || distribution === "out_pairs" ? undefined : held_out[draw(2)];
  const allowed = class_names.filter((name) => name !== banned);
  const names = Array.from({ length: side * side }, () => {
    const name = allowed[draw(allowed.length)]!;
    return { name, photo: draw(photosOf(photos, name)) };
  });
  const cells = distribution === "out_pairs" ? withPair(draw, names, photos) : names;
  const [lowest, count] = distribution === "out_prices" ? [6, 4] : [1, highest_price];
  const prices = class_names.map((name) => [name, lowest + draw(count)] as const);
  return { cells, prices: Object.fromEntries(prices) as Record<ClassName, number> };
}

const photosOf = (photos: Photos, name: ClassName): number => photos[name].length / (photo_size * photo_size);

/** Bag and boot take the place of two cells. */
function withPair(draw: Draw, cells: Grid["cells"], photos: Photos): Grid["cells"] {
  const bag = draw(cells.length);
  const boot = (bag + 1 + draw(cells.length - 1)) % cells.length;
  return cells.map((cell, i) => {
    const name = i === bag ? held_out[0] : i === boot ? held_out[1] : undefined;
    return name === undefined ? cell : { name, photo: draw(photosOf(photos, name)) };
  });
}

/** "prices: top 3 trouser 1 pullover 5 dress 2 bag 4 boot 1 total?" */
export const questionOf = ({ prices }: Grid): string =>
  `prices: ${class_names.map((name) => `${name} ${prices[name]}`).join(" ")} total?`;

/**
 * Goods in the text, in reading order, all but the one at `hidden`, which only the picture shows:
 * "prices: top 3 trouser 1 pullover 5 dress 2 bag 4 boot 1 goods: top ? boot top total?"
 */
export const textQuestionOf = (grid: Grid, hidden: number): string => {
  const goods = grid.cells.map(({ name }, cell) => (cell === hidden ? "?" : name)).join(" ");
  return questionOf(grid).replace(/ total\?$/, ` goods: ${goods} total?`);
};

export const totalOf = ({ cells, prices }: Grid): number => cells.reduce((sum, { name }) => sum + prices[name], 0);

/**
 * direct: "</think> 11"
 * worked: "<think> top 3 3 bag 4 7 boot 1 8 top 3 11</think> 11": name, price and running sum of each cell, then the total
 * rechecked: "<think> top 3 3 bag 4 7 boot 1 8 top 3 11 wait check again top bag boot top 11</think> 11": each name once more
 */
export function solutionOf(grid: Grid, style: "direct" | "worked" | "rechecked"): string {
  const total = totalOf(grid);
  if (style === "direct") return `</think> ${total}`;
  let sum = 0;
  const steps = grid.cells.map(({ name }) => ` ${name} ${grid.prices[name]} ${(sum += grid.prices[name])}`);
  const again =
    style === "rechecked" ? ` wait check again ${grid.cells.map(({ name }) => name).join(" ")} ${total}` : "";
  return `<think>${steps.join("")}${again}</think> ${total}`;
}

/** uint8 [28 * side, 28 * side, 3]; the photos are gray, so the three channels are equal. */
export function paint({ cells }: Grid, side: number, photos: Photos, inverted = false): Uint8Array {
  const flip = inverted ? 255 : 0;
  const width = photo_size * side;
  const rgb = new Uint8Array(width * width * 3);
  cells.forEach(({ name, photo }, cell) => {
    const pixels = photos[name];
    const corner = Math.floor(cell / side) * photo_size * width + (cell % side) * photo_size;
    let from = photo * photo_size * photo_size;
    for (let y = 0; y < photo_size; y++) {
      let to = 3 * (corner + y * width);
      for (let x = 0; x < photo_size; x++, to += 3) rgb[to] = rgb[to + 1] = rgb[to + 2] = pixels[from++]! ^ flip;
    }
  });
  return rgb;
}
