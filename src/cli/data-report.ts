import type { DataReport, SplitReport } from "../pipeline/check-data.js";
import type { Spread } from "../pipeline/data-tally.js";

/** Pairs of equal rows spelled out; bad rows are listed in full. */
const num_pairs_listed = 20;

const count = (value: number): string => value.toLocaleString("en");
const some = (value: number, what: string): string => `${count(value)} ${what}${value === 1 ? "" : "s"}`;
const span = ([min, max]: readonly [number, number]): string =>
  min === max ? count(min) : `${count(min)} to ${count(max)}`;

export function dataReportText({ splits, shared }: DataReport, note?: string): string {
  const lines = splits.flatMap((split) => [...splitLines(split), ""]);
  if (splits.length > 1) lines.push(...pairLines(shared, "in two splits", ({ splits: [a, b] }) => ` (${a}, ${b})`));
  if (splits.length > 1 && shared.length === 0) lines.push("no row of a split is in another one");
  if (note !== undefined) lines.push(note);
  const num_bad = splits.reduce((sum, { bad }) => sum + bad.length, 0);
  lines.push(num_bad === 0 ? "every row is good" : `${some(num_bad, "bad row")}`);
  return lines.join("\n");
}

function splitLines(split: SplitReport): readonly string[] {
  const { num_rows, num_images, images_per_row, image_width, image_height, num_solutions, bad, repeated } = split;
  const { min, max } = images_per_row;
  const longest = (title: string, spread: Spread | null, unit: string): readonly string[] =>
    spread === null
      ? []
      : [`  ${title.padEnd(16)}${count(spread.max)} ${unit} at ${spread.max_place}; mean ${spread.mean.toFixed(1)}`];
  return [
    `${split.split}: ${some(num_rows, "row")}, ${some(num_images, "image")}${num_images === 0 ? "" : ` (${span([min, max])} a row)`}, ${some(num_solutions, "solution")}`,
    ...(image_width === null || image_height === null
      ? []
      : [`  ${"image sizes".padEnd(16)}${span(image_width)} x ${span(image_height)} pixels (width x height)`]),
    ...(split.prompt_tokens === null ? longest("longest prompt", split.prompt_characters, "characters") : []),
    ...longest("longest prompt", split.prompt_tokens, "tokens"),
    ...longest("image tokens", split.image_tokens?.max === 0 ? null : split.image_tokens, "tokens"),
    ...longest("longest solution", split.solution_tokens, "tokens"),
    ...pairLines(repeated, "that another row of the split has already", () => "").map((line) => `  ${line}`),
    ...(bad.length === 0 ? [] : [`  ${some(bad.length, "bad row")}:`]),
    ...bad.map(({ place, what }) => `    ${place}: ${what.replaceAll("\n", "\n      ")}`),
  ];
}

function pairLines<T extends { readonly first: string; readonly second: string }>(
  pairs: readonly T[],
  what: string,
  more: (pair: T) => string,
): readonly string[] {
  if (pairs.length === 0) return [];
  const listed = pairs.slice(0, num_pairs_listed).map((pair) => `  ${pair.first} = ${pair.second}${more(pair)}`);
  const rest = pairs.length - listed.length;
  return [
    `${some(pairs.length, "question")} with the same images ${what}:`,
    ...listed,
    ...(rest > 0 ? [`  and ${count(rest)} more (--json lists all)`] : []),
  ];
}
