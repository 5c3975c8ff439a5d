import { createHash } from "node:crypto";

/** Draws 0 .. n - 1, each equally likely (to within n / 2^32). */
export type Draw = (n: number) => number;

/** The stream of draws that belongs to a key: SHA-256 in counter mode, the same on every machine. */
export function drawsOf(key: string): Draw {
  let block = Buffer.alloc(0);
  let at = 0;
  let counter = 0;
  return (n) => {
    if (at === block.length) {
      block = createHash("sha256").update(`${key}/${counter}`).digest();
      counter += 1;
      at = 0;
    }
    const word = block.readUInt32BE(at);
    at += 4;
    return Math.floor((word * n) / 2 ** 32);
  };
}
