import { z } from "zod";
import { UserError } from "../errors.js";
import { checkIndex, type Dataset, defineDataset } from "./dataset.js";
import {
  distributions,
  drawGrid,
  paint,
  questionOf,
  solutionOf,
  textQuestionOf,
  totalOf,
} from "./fashion-grid/grid.js";
import { loadPhotos, photo_size } from "./fashion-grid/photos.js";
import { encodePng } from "./fashion-grid/png.js";
import { drawsOf } from "./random.js";

/**
 * Shopping lists out of real photographs: a grid of Fashion-MNIST photos and a price for each of six classes; the
 * answer is the total. Sample i depends on (seed, split, pool, grid, distribution, i) only; both variants of it ask about
 * the same grid.
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
    /** vision_dominant: only the picture shows the goods. text_dominant: the question names them, all but one. */
    variant: z.enum(["vision_dominant", "text_dominant"]).default("vision_dominant"),
    /** Train on `in`, test on `in` and on one of out_pairs, out_prices, out_inverted; `all` makes no such difference. */
    distribution: z.enum(distributions).default("all"),
    /** Cells in a row and in a column. */
    grid: z.int().min(1).max(8).default(2),
    /** Share of solutions that give the total at once; the others work it out cell by cell. */
    direct_share: z.number().min(0).max(1).default(0.6),
    /** Share of worked solutions that look at every cell again before they answer. */
    recheck_share: z.number().min(0).max(1).default(0),
  }),
  async open({
    split,
    pool,
    count,
    seed,
    grid: side,
    direct_share,
    recheck_share,
    variant,
    distribution,
  }): Promise<Dataset> {
    if (split !== "train" && pool !== undefined)
      throw new UserError(
        "CONFIG_INVALID",
        `fashion_grid: pool "${pool}" divides the train photos; split is "${split}"`,
        "Remove pool, or set split: train.",
      );
    if (distribution === "out_pairs" && side < 2)
      throw new UserError(
        "CONFIG_INVALID",
        "fashion_grid: a grid of one cell holds no pair, so distribution out_pairs is empty",
        "Set grid to 2 or more.",
      );
    const source = split === "train" ? (pool ?? "rl") : split;
    const photos = await loadPhotos(source);
    const kind = [
      ...(distribution === "all" ? [] : [distribution]),
      ...(variant === "vision_dominant" ? [] : ["text"]),
    ];
    const name = ["fashion_grid", source, ...kind].join("-");
    const suffix = distribution === "all" ? "" : `/${distribution}`;
    return {
      name,
      length: count,
      async get(index) {
        checkIndex({ name, length: count }, index);
        const draw = drawsOf(`fashion_grid/${source}/${side}/${seed}/${index}${suffix}`);
        const grid = drawGrid(draw, side, photos, distribution);
        const style = draw(2 ** 32) < direct_share * 2 ** 32 ? "direct" : "worked";
        const hidden = draw(side * side);
        const is_rechecked = style === "worked" && draw(2 ** 32) < recheck_share * 2 ** 32;
        const id = `${name}-${seed}-${index}`;
        const bytes = encodePng(
          paint(grid, side, photos, distribution === "out_inverted"),
          photo_size * side,
          photo_size * side,
        );
        return {
          id,
          question: variant === "vision_dominant" ? questionOf(grid) : textQuestionOf(grid, hidden),
          answer: String(totalOf(grid)),
          solution: solutionOf(grid, is_rechecked ? "rechecked" : style),
          images: [{ bytes, name: `${id}.png` }],
        };
      },
    };
  },
});
