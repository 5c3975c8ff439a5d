/**
 * seq-rep-4 (arXiv:1908.04319): 1 - distinct 4-grams / all 4-grams of a token sequence; 0 where there is none.
 * A 4-gram is a pair of pairs: each distinct pair gets a number, so that keys stay exact.
 */
export function repetition(tokens: ArrayLike<number>): number {
  const total = tokens.length - 3;
  if (total <= 0) return 0;
  const pairs = new Map<number, number>();
  const ids = new Int32Array(tokens.length - 1);
  for (let i = 0; i < ids.length; i++) {
    const pair = tokens[i]! * 2 ** 26 + tokens[i + 1]!; // token ids are below 2^26
    let id = pairs.get(pair);
    if (id === undefined) pairs.set(pair, (id = pairs.size));
    ids[i] = id;
  }
  const distinct = new Set<number>();
  for (let i = 0; i < total; i++) distinct.add(ids[i]! * 2 ** 26 + ids[i + 2]!);
  return 1 - distinct.size / total;
}
