import { readFileSync } from "node:fs";

/** A tensor out of a safetensors file, row-major; `data` is a copy, bfloat16 as float32. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | BigInt64Array | Int32Array | Uint8Array;
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

const ARRAYS: Readonly<Record<string, new (buffer: ArrayBuffer) => Tensor["data"]>> = {
  F32: Float32Array,
  F64: Float64Array,
  I64: BigInt64Array,
  I32: Int32Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};

/** bfloat16 is the upper half of float32. */
const widened = (halves: Uint16Array): Float32Array =>
  new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);

/** Reads a whole file. Fixtures are small; a model's shards go through the engine. */
export class SafetensorsFile {
  readonly path: string;
  readonly #bytes: Buffer;
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #start: number;

  constructor(path: string) {
    this.path = path;
    this.#bytes = readFileSync(path);
    const length = Number(this.#bytes.readBigUInt64LE(0));
    const header = JSON.parse(this.#bytes.toString("utf8", 8, 8 + length)) as Record<string, Entry>;
    this.#entries = new Map(Object.entries(header).filter(([name]) => name !== "__metadata__"));
    this.#start = 8 + length;
  }

  get names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  get(name: string): Tensor {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw new Error(`${this.path}: no tensor "${name}"`);
    const [begin, end] = entry.data_offsets;
    const bytes = new Uint8Array(this.#bytes.subarray(this.#start + begin, this.#start + end)); // copied: aligned
    if (entry.dtype === "BF16") return { shape: entry.shape, data: widened(new Uint16Array(bytes.buffer)) };
    const array = ARRAYS[entry.dtype];
    if (array === undefined)
      throw new Error(`${this.path}: "${name}" is ${entry.dtype}, which this reader does not know`);
    return { shape: entry.shape, data: new array(bytes.buffer) };
  }

  /** int64 and all others as plain numbers. */
  numbers(name: string): readonly number[] {
    return Array.from(this.get(name).data as ArrayLike<number | bigint>, Number);
  }
}
