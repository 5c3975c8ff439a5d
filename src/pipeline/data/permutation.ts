/**
 * A permutation of 0 .. length - 1 that depends on (seed, epoch) and nothing else: indices sorted by a keyed hash.
 * Counter-based, so that any epoch can be had without those before it.
 */
export function permutation(length: number, seed: number, epoch: number): Uint32Array<ArrayBuffer> {
  const keys = Float64Array.from({ length }, (_, index) => sortKey(seed, epoch, index));
  return Uint32Array.from(keys.keys()).sort((a, b) => keys[a]! - keys[b]! || a - b);
}

/** 53 uniform bits. Two indices of a million share a key once in 18,000 epochs; the sort then keeps their order. */
function sortKey(seed: number, epoch: number, index: number): number {
  const counters = [seed >>> 0, Math.floor(seed / 2 ** 32), epoch, index];
  const high = counters.reduce(mix, 0x9e3779b9);
  const low = counters.reduce(mix, 0x85ebca6b);
  return (high >>> 0) * 2 ** 21 + (low >>> 11);
}

/** Folds one word into the state; then the finaliser of MurmurHash3 (public domain, A. Appleby). */
function mix(state: number, word: number): number {
  let h = Math.imul(state ^ word, 0xcc9e2d51) + 0x27d4eb2f;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
