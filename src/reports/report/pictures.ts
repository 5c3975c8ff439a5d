import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { lineFigure } from "../figures/line-figure.js";
import { light } from "../figures/theme.js";
import { makeFolder } from "../files.js";
import type { FigureSection } from "./curves.js";

/** Figures as files, an SVG and a PNG each. They are drawn on threads of their own, from when they are asked for. */
export interface Pictures {
  /** How many were asked for. */
  readonly size: number;
  /** A name that was asked for before is not drawn again. */
  draw(name: string, svgOf: () => string): void;
  /** Returns when all are written. @throws the system's error where one cannot be */
  finish(): Promise<void>;
}

/** Pixels of a PNG for one unit of its SVG. */
const png_scale = 2;
/** Node has four threads for pictures and files together: files must not wait for all pictures. */
const at_once = 2;

export function pictures(folder: string): Pictures {
  const all = new Map<string, Promise<void>>();
  const lanes = Array<Promise<void>>(at_once).fill(makeFolder(folder));
  const write = async (name: string, svg: string): Promise<void> => {
    await writeFile(join(folder, `${name}.svg`), svg);
    await writeFile(join(folder, `${name}.png`), await png(svg));
  };
  return {
    get size() {
      return all.size;
    },
    draw: (name, svgOf) => {
      if (all.has(name)) return;
      const lane = all.size % at_once;
      const drawn = lanes[lane]!.then(() => write(name, svgOf()));
      drawn.catch(() => undefined); // told by `finish`
      lanes[lane] = drawn;
      all.set(name, drawn);
    },
    finish: async () => {
      await Promise.all([...all.values()]);
    },
  };
}

export function drawSections(drawn: Pictures, sections: readonly FigureSection[], with_legend: boolean): void {
  for (const figure of sections.flatMap(({ figures }) => figures))
    drawn.draw(figure.id, () => lineFigure({ with_legend, ...figure }, light));
}

const png = (svg: string): Promise<Buffer> =>
  sharp(Buffer.from(svg), { density: 72 * png_scale })
    .flatten({ background: "#fff" })
    .png()
    .toBuffer();
