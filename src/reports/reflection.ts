/** The paper's words of reflection (arXiv:2504.02587, section 4). */
export const reflection_words = [
  "re-check",
  "re-evaluate",
  "re-examine",
  "re-think",
  "recheck",
  "reevaluate",
  "reexamine",
  "reevaluation",
  "rethink",
  "check again",
  "think again",
  "try again",
  "verify",
  "wait",
  "yet",
] as const;

export type ReflectionWord = (typeof reflection_words)[number];

/**
 * `substring`: as the paper counts, in lower case and anywhere, so that "waiting" and "yeti" count.
 * `word`: whole words only; white space inside a phrase may be a line break.
 */
export type ReflectionCounting = "substring" | "word";

/** `text.slice(start, end)` is the word as it stands there. */
export interface ReflectionHit {
  readonly word: ReflectionWord;
  readonly start: number;
  readonly end: number;
}

/** What either counting finds in a text, in its order. */
export type ReflectionPlaces = Readonly<Record<ReflectionCounting, readonly ReflectionHit[]>>;

/** At one place at most one of the words begins, but one may begin inside another: "re-check again". */
const any = new RegExp(reflection_words.join("|").replaceAll(" ", "\\s+"), "giu");
const letter_before = /[\p{L}\p{N}_]$/u;
const letter_after = /^[\p{L}\p{N}_]/u;
const nothing: ReflectionPlaces = { word: [], substring: [] };

/** Every occurrence by both countings. */
export function reflectionPlaces(text: string): ReflectionPlaces {
  any.lastIndex = 0;
  let found = any.exec(text);
  if (found === null) return nothing;
  const places: Record<ReflectionCounting, ReflectionHit[]> = { word: [], substring: [] };
  for (; found !== null; found = any.exec(text)) {
    const start = found.index;
    const end = start + found[0].length;
    const as_written = found[0].toLowerCase();
    const hit: ReflectionHit = { word: as_written.replace(/\s+/, " ") as ReflectionWord, start, end };
    if (as_written === hit.word) places.substring.push(hit);
    const is_inside =
      letter_before.test(text.slice(Math.max(0, start - 2), start)) || letter_after.test(text.slice(end, end + 2));
    if (!is_inside) places.word.push(hit);
    any.lastIndex = start + 1;
  }
  return places;
}

/** Every occurrence, in the order of the text. */
export const findReflection = (text: string, counting: ReflectionCounting): readonly ReflectionHit[] =>
  reflectionPlaces(text)[counting];
