import { z } from "zod";
import { UserError } from "../errors.js";
import { checkIndex, type Dataset, defineDataset } from "./dataset.js";
import { drawGrid, paint, questionOf, solutionOf, totalOf } from "./fashion-grid/grid.js";
import { loadPhotos, photo_size } from "./fashion-grid/photos.js";
import { encodePng } from "./fashion-grid/png.js";
import { drawsOf } from "./random.js";

/**
 * Shopping lists out of real photographs: a grid of Fashion-MNIST photos and a price for each of six classes; the
 * answer is the total. Sample i depends on (seed, split, pool, grid, i) only.
 */
export const fashionGrid = defineDataset({
  name: "fashion_grid",
  params: z.strictObject({
    split: z.enum(["train", "validation", "test"]).default("train"),
    /** Train photos to use: the 240 of the warm start, or all others (the default). */
    pool: z.enum(["labelled", "rl"]).optional(),
    /** Number of samples; there are more grids than anyone can draw. */
    count: z.int().positive(),
    seed: z.int().nonnegative().default(0),
    /** Cells in a row and in a column. */
    grid: z.int().min(1).max(8).default(2),
    /** Share of solutions that give the total at once; the others work it out cell by cell. */
    direct_share: z.number().min(0).max(1).default(0.6),
  }),
  async open({ split, pool, count, seed, grid: side, direct_share }): Promise<Dataset> {
    if (split !== "train" && pool !== undefined)
      throw new UserError(
        "CONFIG_INVALID",
        `fashion_grid: pool "${pool}" divides the train photos; split is "${split}"`,
        "Remove pool, or set split: train.",
      );
    const source = split === "train" ? (pool ?? "rl") : split;
    const photos = await loadPhotos(source);
    const name = `fashion_grid-${source}`;
    return {
      name,
      length: count,
      async get(index) {
        checkIndex({ name, length: count }, index);
        const draw = drawsOf(`fashion_grid/${source}/${side}/${seed}/${index}`);
        const grid = drawGrid(draw, side, photos);
        const style = draw(2 ** 32) < direct_share * 2 ** 32 ? "direct" : "worked";
        const id = `${name}-${seed}-${index}`;
        const bytes = encodePng(paint(grid, side, photos), photo_size * side, photo_size * side);
        return {
          id,
          question: questionOf(grid),
          answer: String(totalOf(grid)),
          solution: solutionOf(grid, style),
          images: [{ bytes, name: `${id}.png` }],
        };
      },
    };
  },
});
