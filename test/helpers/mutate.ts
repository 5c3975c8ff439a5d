/** Seeded damage to files: the same seed gives the same bytes. */

export type Random = () => number;

/** Uniform in [0, 1); Mulberry32. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const below = (random: Random, count: number): number => Math.floor(random() * count);
export const pick = <T>(random: Random, items: readonly T[]): T => items[below(random, items.length)]!;

/** Flips, cuts, inserts, repeats or overwrites bytes, most of them within the first `focus` bytes. */
export function mutateBytes(random: Random, bytes: Uint8Array, focus = bytes.length): Buffer {
  let result = Buffer.from(bytes);
  const at = (): number => below(random, random() < 0.8 ? Math.min(focus, result.length) : result.length);
  const kinds: readonly (() => void)[] = [
    () => {
      for (let flips = 1 + below(random, 16); flips > 0; flips--) {
        const place = at();
        result[place] = result[place]! ^ (1 << below(random, 8));
      }
    },
    () => (result = result.subarray(0, at())),
    () =>
      (result = Buffer.concat([result.subarray(0, at()), noise(random, 1 + below(random, 64)), result.subarray(at())])),
    () => {
      const [begin, length] = [at(), 1 + below(random, 200)];
      const span = result.subarray(begin, begin + length);
      result = Buffer.concat([result.subarray(0, begin), span, span, result.subarray(begin)]);
    },
    () => {
      const begin = at();
      result.fill(pick(random, [0, 255, 0x20]), begin, Math.min(begin + 1 + below(random, 32), result.length));
    },
    () => {
      const word = Buffer.alloc(8);
      word.writeBigUInt64LE(pick(random, [2n ** 64n - 1n, 2n ** 63n, 2n ** 32n, 2n ** 31n - 1n, 0n]));
      word.copy(result, at());
    },
  ];
  for (let count = 1 + below(random, 3); count > 0 && result.length > 0; count--) pick(random, kinds)();
  return result;
}

const noise = (random: Random, count: number): Buffer =>
  Buffer.from(Array.from({ length: count }, () => below(random, 256)));

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Numbers that JSON text may hold although no reader expects them. */
const odd_numbers = [
  "-1",
  "0",
  "1e308",
  "1e999",
  "-1e999",
  "0.5",
  "9007199254740993",
  "9223372036854775807",
  "18446744073709551616",
  "4294967296",
  "2147483648",
  "1000000007",
];

/**
 * Drops, doubles, retypes and replaces parts of a document and returns it as text, which may hold what no serializer
 * would write (NaN, numbers beyond every range, the same key twice).
 */
export function mutateJson(random: Random, document: unknown): string {
  const raw: string[] = [];
  const literal = (text: string): string => `\u0000${raw.push(text) - 1}\u0000`;
  const strange = (): Json =>
    pick<() => Json>(random, [
      () => literal(pick(random, odd_numbers)),
      () => literal("NaN"),
      () => null,
      () => random() < 0.5,
      () => "",
      () => pick(random, ["\ud800", "null", "../../etc/passwd", "\u0007".repeat(3), "x".repeat(5000)]),
      () => [],
      () => ({}),
      () => [[[]], { a: { b: [] } }],
      () => literal("[".repeat(20_000) + "]".repeat(20_000)),
      () => literal('{"a":'.repeat(20_000) + "1" + "}".repeat(20_000)),
    ])();
  const changed = structuredClone(document) as Json;
  for (let count = 1 + below(random, 3); count > 0; count--) {
    const places = containers(changed);
    if (places.length === 0) return "null";
    const place = pick(random, places);
    const keys = Object.keys(place);
    const key = keys.length === 0 ? undefined : pick(random, keys);
    const target = place as Record<string, Json>;
    const action = below(random, 5);
    if (key === undefined || action === 0) target[Array.isArray(place) ? String(keys.length) : "surprise"] = strange();
    else if (action === 1 && Array.isArray(place)) place.splice(Number(key), 1);
    else if (action === 1) delete target[key];
    else if (action === 2) target[key] = target[pick(random, keys)]!;
    else target[key] = strange();
  }
  const text = JSON.stringify(changed).replaceAll(/"\\u0000(\d+)\\u0000"/g, (_, index: string) => raw[Number(index)]!);
  return random() < 0.15 ? mutateBytes(random, Buffer.from(text)).toString("latin1") : text;
}

/** Every object and list of a document, those near its root more often. */
function containers(value: Json, depth = 0): (Json[] | { [key: string]: Json })[] {
  if (typeof value !== "object" || value === null) return [];
  const inner = Object.values(value)
    .slice(0, 200)
    .flatMap((item) => containers(item, depth + 1));
  return [...Array.from({ length: Math.max(1, 8 - 2 * depth) }, () => value), ...inner];
}
