import type { Draw } from "../random.js";
import { type ClassName, class_names, photo_size, type Photos } from "./photos.js";

/** What a grid shows and costs. `cells` in reading order; `photo` counts within the class's pool. */
export interface Grid {
  readonly cells: readonly { readonly name: ClassName; readonly photo: number }[];
  readonly prices: Readonly<Record<ClassName, number>>;
}

export const highest_price = 5;

/** Classes, photos and prices (1 to 5) are independent and equally likely. */
export function drawGrid(draw: Draw, side: number, photos: Photos): Grid {
  const cells = Array.from({ length: side * side }, () => {
    const name = class_names[draw(class_names.length)]!;
    return { name, photo: draw(photos[name].length / (photo_size * photo_size)) };
  });
  const prices = class_names.map((name) => [name, 1 + draw(highest_price)] as const);
  return { cells, prices: Object.fromEntries(prices) as Record<ClassName, number> };
}

/** "prices: top 3 trouser 1 pullover 5 dress 2 bag 4 boot 1 total?" */
export const questionOf = ({ prices }: Grid): string =>
  `prices: ${class_names.map((name) => `${name} ${prices[name]}`).join(" ")} total?`;

export const totalOf = ({ cells, prices }: Grid): number => cells.reduce((sum, { name }) => sum + prices[name], 0);

/**
 * direct: "</think> 11"
 * worked: "<think> top 3 3 bag 4 7 boot 1 8 top 3 11</think> 11": name, price and running sum of each cell, then the total
 */
export function solutionOf(grid: Grid, style: "direct" | "worked"): string {
  const total = totalOf(grid);
  if (style === "direct") return `</think> ${total}`;
  let sum = 0;
  const steps = grid.cells.map(({ name }) => ` ${name} ${grid.prices[name]} ${(sum += grid.prices[name])}`);
  return `<think>${steps.join("")}</think> ${total}`;
}

/** uint8 [28 * side, 28 * side, 3]; the photos are gray, so the three channels are equal. */
export function paint({ cells }: Grid, side: number, photos: Photos): Uint8Array {
  const width = photo_size * side;
  const rgb = new Uint8Array(width * width * 3);
  cells.forEach(({ name, photo }, cell) => {
    const pixels = photos[name];
    const corner = Math.floor(cell / side) * photo_size * width + (cell % side) * photo_size;
    let from = photo * photo_size * photo_size;
    for (let y = 0; y < photo_size; y++) {
      let to = 3 * (corner + y * width);
      for (let x = 0; x < photo_size; x++, to += 3) rgb[to] = rgb[to + 1] = rgb[to + 2] = pixels[from++]!;
    }
  });
  return rgb;
}
