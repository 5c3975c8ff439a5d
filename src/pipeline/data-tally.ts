/** Of one number over all rows that have it. */
export interface Spread {
  readonly mean: number;
  readonly max: number;
  /** Place of the row with the most. */
  readonly max_place: string;
}

export interface Counts {
  readonly num_images: number;
  readonly images_per_row: { readonly min: number; readonly max: number };
  /** Pixels, as the files have them; null without images. */
  readonly image_width: readonly [min: number, max: number] | null;
  readonly image_height: readonly [min: number, max: number] | null;
  /** Of history and question. */
  readonly prompt_characters: Spread | null;
  /** Chat template and image tokens included; null where no model was given. */
  readonly prompt_tokens: Spread | null;
  readonly image_tokens: Spread | null;
  /** Stop token included; null also where no row has a solution. */
  readonly solution_tokens: Spread | null;
  readonly num_solutions: number;
}

/** One good row. */
export interface RowCounts {
  readonly place: string;
  readonly characters: number;
  readonly images: readonly { readonly width: number; readonly height: number }[];
  readonly has_solution: boolean;
  readonly tokens?:
    { readonly prompt: number; readonly image: number; readonly solution: number | undefined } | undefined;
}

export interface Tally {
  readonly add: (row: RowCounts) => void;
  readonly result: () => Counts;
}

export function tally(): Tally {
  const spreads = { characters: spread(), prompt: spread(), image: spread(), solution: spread() };
  const [widths, heights, per_row] = [range(), range(), range()];
  let [num_images, num_solutions] = [0, 0];
  return {
    add({ place, characters, images, has_solution, tokens }) {
      spreads.characters.add(characters, place);
      num_images += images.length;
      num_solutions += Number(has_solution);
      per_row.add(images.length);
      for (const { width, height } of images) {
        widths.add(width);
        heights.add(height);
      }
      for (const key of ["prompt", "image", "solution"] as const)
        if (tokens?.[key] !== undefined) spreads[key].add(tokens[key], place);
    },
    result: () => ({
      ...{ num_images, num_solutions, image_width: widths.get(), image_height: heights.get() },
      images_per_row: { min: per_row.get()?.[0] ?? 0, max: per_row.get()?.[1] ?? 0 },
      prompt_characters: spreads.characters.get(),
      prompt_tokens: spreads.prompt.get(),
      image_tokens: spreads.image.get(),
      solution_tokens: spreads.solution.get(),
    }),
  };
}

function spread() {
  let [count, sum, max, max_place] = [0, 0, -Infinity, ""];
  return {
    add(value: number, place: string): void {
      count += 1;
      sum += value;
      if (value > max) [max, max_place] = [value, place];
    },
    get: (): Spread | null => (count === 0 ? null : { mean: sum / count, max, max_place }),
  };
}

function range() {
  let [min, max] = [Infinity, -Infinity];
  return {
    add(value: number): void {
      min = Math.min(min, value);
      max = Math.max(max, value);
    },
    get: (): readonly [min: number, max: number] | null => (min > max ? null : [min, max]),
  };
}
