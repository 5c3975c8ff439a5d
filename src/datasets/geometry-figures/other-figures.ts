import { add, angleLabel, type Figure, type Label, middle, minus, type Point, polar, sideLabel } from "./figure.js";
import { between, type Kind } from "./problem.js";

const origin: Point = [0, 0];

function rectangle(width: number, height: number) {
  const corners: readonly [Point, Point, Point, Point] = [origin, [width, 0], [width, height], [0, height]];
  const [a, b, c, d] = corners;
  const center = middle(a, c);
  const angles: Figure["angles"] = [{ at: a, arms: [b, d], square: true }];
  const segments: Figure["segments"] = [
    [a, b],
    [b, c],
    [c, d],
    [d, a],
  ];
  const names = corners.map((at, i): Label => ({ text: "ABCD"[i]!, at, from: center }));
  const given_labels = [sideLabel(String(width), [a, b], center), sideLabel(String(height), [b, c], center)];
  return { figure: { segments, angles, circles: [], labels: names }, given_labels };
}

export const rectangleArea: Kind = (draw) => {
  const [width, height] = [between(draw, 2, 20), between(draw, 2, 20)];
  return {
    numbers: [width, height],
    setting: "ABCD is a rectangle.",
    givens: [`AB is ${width}`, `BC is ${height}`],
    asked: "Find its area.",
    answer: String(width * height),
    steps: `The area is ${width} * ${height} = ${width * height}.`,
    ...rectangle(width, height),
  };
};

export const rectanglePerimeter: Kind = (draw) => {
  const [width, height] = [between(draw, 2, 30), between(draw, 2, 30)];
  return {
    numbers: [width, height],
    setting: "ABCD is a rectangle.",
    givens: [`AB is ${width}`, `BC is ${height}`],
    asked: "Find its perimeter.",
    answer: String(2 * (width + height)),
    steps: `The perimeter is 2 * (${width} + ${height}) = ${2 * (width + height)}.`,
    ...rectangle(width, height),
  };
};

/** A transversal through G meets two parallel lines at E and F; the angle at E is given, one at F is asked. */
export const parallelLines: Kind = (draw) => {
  const angle = between(draw, 35, 145);
  const co_interior = draw(2) === 1;
  const asked = co_interior ? 180 - angle : angle;
  const f: Point = origin;
  const e = polar(2 / Math.sin((angle * Math.PI) / 180), angle);
  const half: Point = [2.6, 0];
  const [a, b, c, d] = [minus(e, half), add(e, half), minus(f, half), add(f, half)];
  const along = polar(1.4, angle);
  const [g, end] = [add(e, along), minus(f, along)];
  const given = { at: e, arms: [b, g] as const };
  const wanted = { at: f, arms: [co_interior ? c : d, e] as const };
  // Names of crossings stand in the wider of the free corners.
  const free = polar(1, angle >= 90 ? angle / 2 : angle / 2 + 90);
  const name = (text: string, at: Point, from: Point, distance = 1): Label => ({ text, at, from, distance });
  return {
    numbers: [angle, Number(co_interior)],
    setting: "Lines AB and CD are parallel, and a line through G meets AB at E and CD at F.",
    givens: [`angle GEB is ${angle}°`],
    asked: `Find angle EF${co_interior ? "C" : "D"} in degrees.`,
    answer: String(asked),
    steps: co_interior
      ? `Angle EFD corresponds to angle GEB and is ${angle} degrees; with angle EFC it makes 180, so that is 180 - ${angle} = ${asked} degrees.`
      : `Angles EFD and GEB correspond to each other at parallel lines, so they are equal: ${asked} degrees.`,
    figure: {
      segments: [
        [a, b],
        [c, d],
        [g, end],
      ],
      circles: [],
      angles: [given, wanted],
      labels: [
        ...[name("A", a, e), name("B", b, e), name("C", c, f), name("D", d, f), name("G", g, e)],
        ...[name("E", e, add(e, free), 1.5), name("F", f, add(f, free), 1.5)],
        angleLabel("?", f, wanted.arms),
      ],
    },
    given_labels: [angleLabel(`${angle}°`, e, given.arms)],
  };
};

/** A, B, C on a circle around O; angle AOB is given, angle ACB is asked. */
export const inscribedAngle: Kind = (draw) => {
  const central = between(draw, 60, 160, 2);
  const [a, b, c] = [polar(1, -90 - central / 2), polar(1, -90 + central / 2), polar(1, between(draw, 70, 110))];
  return {
    numbers: [central],
    setting: "A, B and C lie on a circle with centre O, C on the major arc AB.",
    givens: [`angle AOB is ${central}°`],
    asked: "Find angle ACB in degrees.",
    answer: String(central / 2),
    steps: `An inscribed angle is half of the central angle over the same arc: ${central} / 2 = ${central / 2} degrees.`,
    figure: {
      segments: [
        [origin, a],
        [origin, b],
        [c, a],
        [c, b],
      ],
      circles: [{ center: origin, radius: 1 }],
      angles: [
        { at: origin, arms: [a, b] },
        { at: c, arms: [a, b] },
      ],
      labels: [
        ...[a, b, c].map((at, i): Label => ({ text: "ABC"[i]!, at, from: origin })),
        { text: "O", at: origin, from: middle(a, b) },
        angleLabel("?", c, [a, b]),
      ],
    },
    given_labels: [angleLabel(`${central}°`, origin, [a, b])],
  };
};

/** The answer is a multiple of pi. */
export const circleArea: Kind = (draw) => {
  const radius = between(draw, 2, 60);
  const a = polar(1, 0);
  return {
    numbers: [radius],
    setting: "OA is a radius of a circle with centre O.",
    givens: [`OA is ${radius}`],
    asked: "Find the area of the circle, as a multiple of \\pi.",
    answer: `${radius ** 2}\\pi`,
    steps: `The area is \\pi r^2 = ${radius}^2 \\pi.`,
    figure: {
      segments: [[origin, a]],
      circles: [{ center: origin, radius: 1 }],
      angles: [],
      labels: [
        { text: "O", at: origin, from: a },
        { text: "A", at: a, from: origin },
      ],
    },
    given_labels: [sideLabel(String(radius), [origin, a], [0.5, -1])],
  };
};
