/** A reader of TensorBoard's event files that shares nothing with the writer: frames, checksums and protocol buffers. */

/** Bit by bit. */
export function crc32cBitwise(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

const masked = (crc: number): number => Number((BigInt((crc >>> 15) | (crc << 17)) + 0xa282ead8n) & 0xffffffffn);

/** @throws Error for a checksum that is wrong */
export function* frames(file: Buffer): Generator<Buffer> {
  for (let at = 0; at < file.length;) {
    const length = Number(file.readBigUInt64LE(at));
    const data = file.subarray(at + 12, at + 12 + length);
    if (file.readUInt32LE(at + 8) !== masked(crc32cBitwise(file.subarray(at, at + 8)))) throw new Error("length");
    if (file.readUInt32LE(at + 12 + length) !== masked(crc32cBitwise(data))) throw new Error("data");
    yield data;
    at += 16 + length;
  }
}

export type Field = readonly [number: number, value: bigint | Buffer];

/** Fields of one message: numbers of varints, bytes of everything else. */
export function fields(message: Buffer): Field[] {
  const found: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = Number(varint());
    const [number, type] = [key >> 3, key & 7];
    if (type === 0) found.push([number, varint()]);
    else {
      const length = type === 1 ? 8 : type === 5 ? 4 : Number(varint());
      found.push([number, message.subarray(at, at + length)]);
      at += length;
    }
  }
  return found;
}

/** Step, file version, scalars and restart of each event. */
export const events = (file: Buffer) =>
  [...frames(file)].map((frame) => {
    const of = new Map(fields(frame));
    const summary = of.get(5);
    const scalars: Record<string, number> = {};
    const texts: Record<string, string> = {};
    for (const [, value] of summary === undefined ? [] : fields(summary as Buffer)) {
      const parts = new Map(fields(value as Buffer));
      const tag = (parts.get(1) as Buffer).toString();
      const number = parts.get(2) as Buffer | undefined;
      if (number !== undefined) scalars[tag] = number.readFloatLE();
      else texts[tag] = (new Map(fields(parts.get(8) as Buffer)).get(8) as Buffer).toString();
    }
    return {
      ...{ step: Number(of.get(2)), version: of.get(3)?.toString(), scalars, texts },
      ...{ wall_time: (of.get(1) as Buffer).readDoubleLE(), restarts: of.has(7) },
    };
  });
