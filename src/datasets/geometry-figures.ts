import { createHash } from "node:crypto";
import sharp from "sharp";
import { z } from "zod";
import { checkIndex, type Dataset, defineDataset } from "./dataset.js";
import { svgOf } from "./geometry-figures/figure.js";
import {
  circleArea,
  inscribedAngle,
  parallelLines,
  rectangleArea,
  rectanglePerimeter,
} from "./geometry-figures/other-figures.js";
import type { Kind, Problem } from "./geometry-figures/problem.js";
import { exteriorAngle, isoscelesTriangle, pythagoras, triangleAngles } from "./geometry-figures/triangles.js";
import { type Draw, drawsOf } from "./random.js";

const kinds = {
  triangle_angles: triangleAngles,
  isosceles_triangle: isoscelesTriangle,
  exterior_angle: exteriorAngle,
  pythagoras,
  rectangle_area: rectangleArea,
  rectangle_perimeter: rectanglePerimeter,
  parallel_lines: parallelLines,
  inscribed_angle: inscribedAngle,
  circle_area: circleArea,
} as const satisfies Readonly<Record<string, Kind>>;
type KindName = keyof typeof kinds;
export const kind_names = Object.keys(kinds) as [KindName, ...KindName[]];

/**
 * Synthetic school geometry: a figure drawn to scale, and a question with an exact answer. No problem (kind and numbers)
 * occurs in two splits. Sample i depends on (seed, split, kinds, i) only; both variants of it are the same problem.
 */
export const geometryFigures = defineDataset({
  name: "geometry_figures",
  params: z.strictObject({
    split: z.enum(["train", "validation", "test"]).default("train"),
    /** Number of samples. */
    count: z.int().positive(),
    seed: z.int().nonnegative().default(0),
    /** vision_dominant: only the figure shows the numbers. text_dominant: only the question says them. */
    variant: z.enum(["vision_dominant", "text_dominant"]).default("vision_dominant"),
    kinds: z
      .array(z.enum(kind_names))
      .min(1)
      .refine((list) => new Set(list).size === list.length, "a kind is listed twice")
      .default(kind_names),
    /** Side of the square picture, pixels. */
    size: z.int().min(56).max(1024).default(224),
  }),
  async open({ split, count, seed, variant, kinds: chosen, size }): Promise<Dataset> {
    const in_text = variant === "text_dominant";
    const name = `geometry_figures-${split}${in_text ? "-text" : ""}`;
    return {
      name,
      length: count,
      async get(index) {
        checkIndex({ name, length: count }, index);
        const draw = drawsOf(`geometry_figures/${split}/${chosen.join(",")}/${seed}/${index}`);
        const problem = drawProblem(draw, chosen, split);
        const { figure, given_labels, answer } = problem;
        const labels = in_text ? figure.labels : [...figure.labels, ...given_labels];
        const view = { turn: 15 * draw(24), mirrored: draw(2) === 1, size };
        const id = `${name}-${seed}-${index}`;
        const bytes = await sharp(Buffer.from(svgOf({ ...figure, labels }, view)))
          .removeAlpha()
          .png()
          .toBuffer();
        return {
          ...{ id, answer, question: questionOf(problem, in_text) },
          solution: `${problem.steps} \\boxed{${answer}}`,
          images: [{ bytes, name: `${id}.png` }],
        };
      },
    };
  },
});

type Split = "train" | "validation" | "test";

/** Draws until a problem of the split comes up: one in ten belongs to test, one in ten to validation. */
function drawProblem(draw: Draw, names: readonly KindName[], split: Split): Problem {
  const name = names[draw(names.length)]!;
  for (;;) {
    const problem = kinds[name](draw);
    if (splitOf(name, problem.numbers) === split) return problem;
  }
}

export function splitOf(kind: string, numbers: readonly number[]): Split {
  const digit =
    createHash("sha256")
      .update(`${kind}/${numbers.join(",")}`)
      .digest()
      .readUInt32BE() % 10;
  return digit === 0 ? "test" : digit === 1 ? "validation" : "train";
}

function questionOf({ setting, givens, asked }: Problem, in_text: boolean): string {
  if (!in_text) return `${setting} ${asked}`;
  const given = givens.join(" and ");
  return `${setting} ${given[0]!.toUpperCase()}${given.slice(1)}. ${asked}`;
}
