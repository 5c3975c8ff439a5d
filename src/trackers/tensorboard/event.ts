/**
 * The messages of TensorBoard's event files that are used here, in protocol buffers' wire format. Field numbers:
 * tensorboard/compat/proto/{event,summary,tensor,tensor_shape}.proto.
 */

export type Scalar = readonly [tag: string, value: number];

/** Wall time in seconds since 1970 is 1, the step 2. */
const withTime = (step: number, ...fields: Uint8Array[]): Uint8Array =>
  Buffer.concat([float64(1, Date.now() / 1000), varint(2, step), ...fields]);

export const event = {
  /** First of every file. */
  version: (): Uint8Array => withTime(0, bytes(3, Buffer.from("brain.Event:2"))),
  /** SessionLog START: readers drop what they know of this step and later ones. */
  restart: (step: number): Uint8Array => withTime(step, bytes(7, varint(1, 1))),
  scalars: (step: number, scalars: readonly Scalar[]): Uint8Array =>
    withTime(step, summary(scalars.map(([tag, value]) => Buffer.concat([string(1, tag), float32(2, value)])))),
  text: (step: number, tag: string, text: string): Uint8Array =>
    withTime(step, summary([Buffer.concat([string(1, tag), bytes(9, text_plugin), bytes(8, stringTensor(text))])])),
};

const summary = (values: readonly Uint8Array[]): Uint8Array =>
  bytes(5, Buffer.concat(values.map((value) => bytes(1, value))));

/** DT_STRING is 7; one dimension of size 1. */
const stringTensor = (text: string): Uint8Array =>
  Buffer.concat([varint(1, 7), bytes(2, bytes(2, varint(1, 1))), bytes(8, Buffer.from(text))]);

function varint(field: number, value: number): Uint8Array {
  return Buffer.concat([base128(field * 8), base128(value)]);
}

function bytes(field: number, value: Uint8Array): Uint8Array {
  return Buffer.concat([base128(field * 8 + 2), base128(value.length), value]);
}

const string = (field: number, value: string): Uint8Array => bytes(field, Buffer.from(value));

function float32(field: number, value: number): Uint8Array {
  const number = Buffer.alloc(4);
  number.writeFloatLE(value);
  return Buffer.concat([base128(field * 8 + 5), number]);
}

function float64(field: number, value: number): Uint8Array {
  const number = Buffer.alloc(8);
  number.writeDoubleLE(value);
  return Buffer.concat([base128(field * 8 + 1), number]);
}

/** Seven bits a byte, the lowest first. */
function base128(value: number): Uint8Array {
  const digits: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.from([...digits, rest]);
    digits.push((rest % 128) + 128);
  }
}

/** SummaryMetadata of the text plugin; its data class is TENSOR, 2. */
const text_plugin: Uint8Array = Buffer.concat([bytes(1, string(1, "text")), varint(4, 2)]);
