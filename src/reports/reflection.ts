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

const letter = "[\\p{L}\\p{N}_]";

const patterns = reflection_words.map((word) => ({
  word,
  substring: new RegExp(word, "gi"),
  word_bounded: new RegExp(`(?<!${letter})${word.replace(" ", "\\s+")}(?!${letter})`, "giu"),
}));
const any = {
  substring: new RegExp(reflection_words.join("|"), "i"),
  word: new RegExp(`(?<!${letter})(?:${reflection_words.join("|").replaceAll(" ", "\\s+")})(?!${letter})`, "iu"),
};

/** Every occurrence, in the order of the text. */
export function findReflection(text: string, counting: ReflectionCounting): readonly ReflectionHit[] {
  if (!isReflective(text, counting)) return [];
  return patterns
    .flatMap(({ word, substring, word_bounded }) =>
      Array.from(text.matchAll(counting === "word" ? word_bounded : substring), (found) => ({
        word,
        start: found.index,
        end: found.index + found[0].length,
      })),
    )
    .sort((a, b) => a.start - b.start);
}

/** Occurrences of each word that occurs. */
export function countReflection(
  text: string,
  counting: ReflectionCounting,
): Readonly<Partial<Record<ReflectionWord, number>>> {
  const counts: Partial<Record<ReflectionWord, number>> = {};
  for (const { word } of findReflection(text, counting)) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}

/** Whether any of the words occurs. */
export const isReflective = (text: string, counting: ReflectionCounting): boolean => any[counting].test(text);
