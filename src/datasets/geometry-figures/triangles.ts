import { angleLabel, type Figure, type Label, middle, minus, add, type Point, polar, sideLabel } from "./figure.js";
import { between, type Kind } from "./problem.js";

type Corners = readonly [Point, Point, Point];

/** Corners A, B, C with the angles at A and B, in degrees. */
function triangle(angle_a: number, angle_b: number): Corners {
  const angle_c = 180 - angle_a - angle_b;
  const side = (angle: number): number => Math.sin((angle * Math.PI) / 180);
  return [[0, 0], [side(angle_c), 0], polar(side(angle_b), angle_a)];
}

const sidesOf = ([a, b, c]: Corners): Figure["segments"] => [
  [a, b],
  [b, c],
  [c, a],
];

const namesOf = (corners: Corners): readonly Label[] =>
  corners.map((at, i) => ({ text: "ABC"[i]!, at, from: middle(...corners) }));

const armsOf = (corners: Corners, corner: number): readonly [Point, Point] =>
  corners.filter((_, i) => i !== corner) as unknown as [Point, Point];

const angleAt = (corners: Corners, corner: number) => ({ at: corners[corner]!, arms: armsOf(corners, corner) });
const labelAt = (text: string, corners: Corners, corner: number): Label =>
  angleLabel(text, corners[corner]!, armsOf(corners, corner));

/** Two angles are given, the third is asked. */
export const triangleAngles: Kind = (draw) => {
  const a = between(draw, 30, 100);
  const b = between(draw, 30, 150 - a);
  const corners = triangle(a, b);
  return {
    numbers: [a, b],
    setting: "ABC is a triangle.",
    givens: [`angle A is ${a}°`, `angle B is ${b}°`],
    asked: "Find angle C in degrees.",
    answer: String(180 - a - b),
    steps: `The angles of a triangle add up to 180°, so angle C is 180 - ${a} - ${b} = ${180 - a - b} degrees.`,
    figure: {
      segments: sidesOf(corners),
      circles: [],
      angles: [0, 1, 2].map((corner) => angleAt(corners, corner)),
      labels: [...namesOf(corners), labelAt("?", corners, 2)],
    },
    given_labels: [labelAt(`${a}°`, corners, 0), labelAt(`${b}°`, corners, 1)],
  };
};

/** AB = AC; the angle at A is given, one at the base is asked. */
export const isoscelesTriangle: Kind = (draw) => {
  const apex = between(draw, 30, 120, 2);
  const base = (180 - apex) / 2;
  const corners = triangle(apex, base);
  return {
    numbers: [apex],
    setting: "ABC is a triangle with AB = AC.",
    givens: [`angle A is ${apex}°`],
    asked: "Find angle B in degrees.",
    answer: String(base),
    steps: `The angles at B and C are equal, so angle B is (180 - ${apex}) / 2 = ${base} degrees.`,
    figure: {
      segments: sidesOf(corners),
      circles: [],
      angles: [0, 1].map((corner) => angleAt(corners, corner)),
      labels: [...namesOf(corners), labelAt("?", corners, 1)],
    },
    given_labels: [labelAt(`${apex}°`, corners, 0)],
  };
};

/** BC goes on to D; the angles at A and B are given, angle ACD is asked. */
export const exteriorAngle: Kind = (draw) => {
  const [a, b] = [between(draw, 35, 65), between(draw, 35, 65)];
  const corners = triangle(a, b);
  const [pa, pb, pc] = corners;
  const d = add(pc, minus(pc, pb), 0.4);
  return {
    numbers: [a, b],
    setting: "ABC is a triangle whose side BC is extended to D.",
    givens: [`angle A is ${a}°`, `angle B is ${b}°`],
    asked: "Find angle ACD in degrees.",
    answer: String(a + b),
    steps: `An exterior angle is the sum of the two remote interior angles: ${a} + ${b} = ${a + b} degrees.`,
    figure: {
      segments: [...sidesOf(corners), [pc, d]],
      circles: [],
      angles: [angleAt(corners, 0), angleAt(corners, 1), { at: pc, arms: [pa, d] }],
      labels: [
        ...namesOf(corners).slice(0, 2),
        { text: "C", at: pc, from: pa },
        { text: "D", at: d, from: pc },
        angleLabel("?", pc, [pa, d]),
      ],
    },
    given_labels: [labelAt(`${a}°`, corners, 0), labelAt(`${b}°`, corners, 1)],
  };
};

const triples = [
  [3, 4, 5],
  [5, 12, 13],
  [8, 15, 17],
  [7, 24, 25],
  [20, 21, 29],
  [9, 40, 41],
] as const;

/** Two sides of a right triangle are given, the third is asked. */
export const pythagoras: Kind = (draw) => {
  const [short, long, hypotenuse] = triples[draw(triples.length)]!;
  const times = between(draw, 1, 6);
  const sides = [short * times, long * times, hypotenuse * times] as const; // AB, AC, BC; the right angle is at A
  const asked = draw(3);
  const names = ["AB", "AC", "BC"] as const;
  const corners: Corners = [
    [0, 0],
    [short, 0],
    [0, long],
  ];
  const [pa, pb, pc] = corners;
  const ends = [
    [pa, pb],
    [pa, pc],
    [pb, pc],
  ] as const;
  const label = (text: string, side: number): Label => sideLabel(text, ends[side]!, middle(...corners));
  const given = [0, 1, 2].filter((side) => side !== asked);
  const [x, y] = given.map((side) => sides[side]!) as [number, number];
  const sign = asked === 2 ? "+" : "-";
  const [first, second] = asked === 2 ? [x, y] : [y, x];
  return {
    numbers: [...sides, asked],
    setting: "ABC is a triangle with a right angle at A.",
    givens: given.map((side) => `${names[side]!} is ${sides[side]!}`),
    asked: `Find the length of ${names[asked]!}.`,
    answer: String(sides[asked]!),
    steps: `By Pythagoras ${names[asked]!}^2 = ${first}^2 ${sign} ${second}^2 = ${sides[asked]! ** 2}, so ${names[asked]!} is ${sides[asked]!}.`,
    figure: {
      segments: sidesOf(corners),
      circles: [],
      angles: [{ ...angleAt(corners, 0), square: true }],
      labels: [...namesOf(corners), label("?", asked)],
    },
    given_labels: given.map((side) => label(String(sides[side]!), side)),
  };
};
