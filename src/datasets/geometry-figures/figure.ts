import { textPath } from "./glyphs.js";

export type Point = readonly [x: number, y: number];

/** What is drawn, in any unit and orientation (y up); `svgOf` turns and scales it. */
export interface Figure {
  readonly segments: readonly (readonly [Point, Point])[];
  readonly circles: readonly { readonly center: Point; readonly radius: number }[];
  /** Between two arms from a corner. */
  readonly angles: readonly { readonly at: Point; readonly arms: readonly [Point, Point]; readonly square?: boolean }[];
  readonly labels: readonly Label[];
}

export interface Label {
  readonly text: string;
  readonly at: Point;
  /** The text stands a fixed distance off, in the direction from here through `at`. */
  readonly from: Point;
  /** Of that distance: 1 for a point's or a side's name, more inside an angle. */
  readonly distance?: number;
}

export const add = ([ax, ay]: Point, [bx, by]: Point, times = 1): Point => [ax + times * bx, ay + times * by];
export const minus = (a: Point, b: Point): Point => add(a, b, -1);
export const middle = (...points: readonly Point[]): Point =>
  points.reduce<Point>((sum, point) => add(sum, point, 1 / points.length), [0, 0]);
/** At `degrees` from the x axis. */
export const polar = (radius: number, degrees: number): Point => [
  radius * Math.cos((degrees * Math.PI) / 180),
  radius * Math.sin((degrees * Math.PI) / 180),
];
const unit = ([x, y]: Point): Point => [x / Math.hypot(x, y), y / Math.hypot(x, y)];

/** A label inside an angle. */
export function angleLabel(text: string, at: Point, arms: readonly [Point, Point]): Label {
  const [u, v] = [unit(minus(arms[0], at)), unit(minus(arms[1], at))];
  const sine_of_half = Math.sqrt((1 - (u[0] * v[0] + u[1] * v[1])) / 2);
  const distance = Math.min(4, Math.max(2.6, (0.5 + 0.45 * text.length) / sine_of_half)); // clear of both arms
  return { text, at, from: minus(at, add(u, v)), distance };
}

/** A label beside a side, on the side away from `inside`. */
export function sideLabel(text: string, [a, b]: readonly [Point, Point], inside: Point): Label {
  const [along, at] = [unit(minus(b, a)), middle(a, b)];
  const toward = minus(inside, at);
  const across: Point = [-along[1], along[0]];
  const sign = across[0] * toward[0] + across[1] * toward[1] > 0 ? 1 : -1;
  return { text, at, from: add(at, across, sign), distance: 1.3 };
}

export interface View {
  /** Degrees, counter-clockwise. */
  readonly turn: number;
  readonly mirrored: boolean;
  /** Side of the square picture, pixels. */
  readonly size: number;
}

/** Black strokes on white; texts stay upright however the figure is turned. */
export function svgOf(figure: Figure, { turn, mirrored, size }: View): string {
  const [cos, sin] = polar(1, turn);
  const turned = ([x, y]: Point): Point => {
    const flipped = mirrored ? -x : x;
    return [flipped * cos - y * sin, -(flipped * sin + y * cos)]; // SVG's y goes down
  };
  const outline = [
    ...figure.segments.flat().map(turned),
    ...figure.circles.flatMap(({ center, radius }) => {
      const [x, y] = turned(center);
      return [add([x, y], [radius, radius]), add([x, y], [-radius, -radius])];
    }),
  ];
  const [xs, ys] = [outline.map(([x]) => x), outline.map(([, y]) => y)];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const margin = size * 0.16;
  const scale = (size - 2 * margin) / Math.max(right - left, bottom - top);
  const center = middle([left, top], [right, bottom]);
  const place = (point: Point): Point => add([size / 2, size / 2], minus(turned(point), center), scale);

  const text_height = size / 20;
  const path = (points: readonly Point[]): string =>
    points.map(([x, y], i) => `${i === 0 ? "M" : "L"}${x.toFixed(2)} ${y.toFixed(2)}`).join("");
  const strokes = [
    ...figure.segments.map((segment) => path(segment.map(place))),
    ...figure.angles.map(({ at, arms, square = false }) => {
      const corner = place(at);
      const [u, v] = arms.map((arm) => unit(minus(place(arm), corner))) as [Point, Point];
      const radius = size / 16;
      if (square) return path([add(corner, u, radius), add(add(corner, u, radius), v, radius), add(corner, v, radius)]);
      const sweep = u[0] * v[1] - u[1] * v[0] > 0 ? 1 : 0;
      const [x, y] = add(corner, v, radius);
      return `${path([add(corner, u, radius)])}A${radius} ${radius} 0 0 ${sweep} ${x.toFixed(2)} ${y.toFixed(2)}`;
    }),
    ...figure.labels.map(({ text, at, from, distance = 1 }) => {
      const anchor = place(at);
      const [x, y] = add(anchor, unit(minus(anchor, place(from))), distance * text_height);
      return textPath(text, x, y, text_height);
    }),
  ];
  const circles = figure.circles.map(({ center: middle_point, radius }) => {
    const [x, y] = place(middle_point);
    return `<circle cx="${x.toFixed(2)}" cy="${y.toFixed(2)}" r="${(radius * scale).toFixed(2)}"/>`;
  });
  const style = `fill="none" stroke="black" stroke-width="${(size / 140).toFixed(2)}" stroke-linecap="round" stroke-linejoin="round"`;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}"><rect width="${size}" height="${size}" fill="white"/>` +
    `<g ${style}>${circles.join("")}<path d="${strokes.join("")}"/></g></svg>`
  );
}
