import { DataType, type Field, type Schema } from "apache-arrow";
import type { RecordBatch } from "apache-arrow/ipc/metadata/message";
import { decodeBatchHeader, decodeFooter } from "./arrow-metadata.js";

/** A buffer's place in the file, bytes. */
export interface Region {
  readonly start: number;
  readonly length: number;
}

/** One column of one record batch: where its buffers lie. The validity bitmap is left out: our columns have no nulls. */
export interface Column {
  readonly type: DataType;
  readonly num_rows: number;
  /** Fixed width: [values]; utf8: [offsets, bytes]; list: [offsets]; struct: []. */
  readonly regions: readonly Region[];
  readonly children: Readonly<Record<string, Column>>;
}

export interface BatchLayout {
  readonly num_rows: number;
  readonly columns: Readonly<Record<string, Column>>;
}

/** Reads `length` bytes from `start` on. Must fail rather than return fewer. */
export type ReadBytes = (start: number, length: number) => Promise<Uint8Array>;

const magic = "ARROW1";
const max_rows = 2 ** 31;

/**
 * Where every column of an Arrow IPC file lies, from its footer and the batches' headers alone.
 * Format: https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format
 * @throws Error saying what is wrong with the file
 */
export async function arrowLayout(size: number, read: ReadBytes): Promise<readonly BatchLayout[]> {
  if (size < 32) throw new Error("it is too short to be an Arrow file");
  const tail = await read(size - 10, 10);
  if (Buffer.from(tail.subarray(4)).toString("latin1") !== magic)
    throw new Error("its last bytes are not those of an Arrow file (half written?)");
  const footer_length = new DataView(tail.buffer, tail.byteOffset).getInt32(0, true);
  if (footer_length <= 0 || footer_length > size - 10) throw new Error("its footer has an impossible length");
  const footer = decodeFooter(await read(size - 10 - footer_length, footer_length));
  if (footer.num_dictionaries > 0) throw new Error("it has dictionaries, which a rollout file never has");
  const batches: BatchLayout[] = [];
  for (const { offset, metaDataLength, bodyLength } of footer.batches) {
    const body = offset + metaDataLength;
    if (offset < 8 || metaDataLength < 8 || bodyLength < 0 || body + bodyLength > size)
      throw new Error("a record batch lies outside it");
    const message = await read(offset, metaDataLength);
    // A continuation marker and the length stand before the metadata.
    const header = decodeBatchHeader(message.subarray(8));
    if (header.compression !== null) throw new Error("it is compressed, which a rollout file never is");
    batches.push(batchLayout(footer.schema, header, { start: body, length: bodyLength }));
  }
  return batches;
}

function batchLayout(schema: Schema, header: RecordBatch, body: Region): BatchLayout {
  let [node, buffer] = [0, 0];
  const nextRegion = (): Region => {
    const region = header.buffers[buffer++];
    if (region === undefined) throw new Error("a record batch has too few buffers");
    const { offset, length } = region;
    if (!(offset >= 0 && length >= 0 && offset + length <= body.length)) throw new Error("a buffer lies outside it");
    return { start: body.start + offset, length };
  };
  const column = ({ name, type }: Field<DataType>): Column => {
    const num_rows = header.nodes[node++]?.length ?? -1;
    if (!(num_rows >= 0 && num_rows < max_rows)) throw new Error(`column "${name}" has an impossible length`);
    nextRegion(); // validity
    const regions = Array.from({ length: numRegions(name, type) }, nextRegion);
    const least = leastBytes(type, num_rows);
    if (regions[0] !== undefined && regions[0].length < least) throw new Error(`column "${name}" is cut off`);
    const fields = (
      DataType.isList(type) || DataType.isStruct(type) ? type.children : []
    ) as readonly Field<DataType>[];
    if (DataType.isList(type) && fields.length !== 1) throw new Error(`list "${name}" has no items`);
    const children = Object.fromEntries(fields.map((field) => [field.name, column(field)]));
    return { type, num_rows, regions, children };
  };
  const columns = Object.fromEntries(fieldsOf(schema).map((field) => [field.name, column(field)]));
  return { num_rows: header.length, columns };
}

/** Apache-arrow leaves the type of a field open. */
const fieldsOf = ({ fields }: Schema): readonly Field<DataType>[] => fields as readonly Field<DataType>[];

function numRegions(name: string, type: DataType): number {
  if (DataType.isStruct(type)) return 0;
  if (DataType.isUtf8(type)) return 2;
  if (DataType.isList(type) || DataType.isBool(type) || widthOf(type) > 0) return 1;
  throw new Error(`column "${name}" has a type that a rollout file never has`);
}

function leastBytes(type: DataType, num_rows: number): number {
  if (DataType.isUtf8(type) || DataType.isList(type)) return num_rows === 0 ? 0 : 4 * (num_rows + 1);
  if (DataType.isBool(type)) return Math.ceil(num_rows / 8);
  return num_rows * widthOf(type);
}

/** Bytes of a value of fixed width; 0 for other types. */
export function widthOf(type: DataType): number {
  if (DataType.isInt(type)) return type.bitWidth / 8;
  if (DataType.isFloat(type)) return [2, 4, 8][type.precision]!;
  return 0;
}
