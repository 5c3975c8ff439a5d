import {
  type BatchContents,
  type ColumnType,
  decodeBatchHeader,
  decodeFooter,
  type FieldContents,
  type Region,
} from "./arrow-metadata.js";

/** One column of one record batch: where its buffers lie. The validity bitmap is left out: our columns have no nulls. */
export interface Column extends ColumnType {
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
  for (const { metadata, body } of footer.batches) {
    if (metadata.start < 8 || metadata.length < 8 || body.length < 0 || !(body.start + body.length <= size))
      throw new Error("a record batch lies outside it");
    const message = await read(metadata.start, metadata.length);
    // A continuation marker and the length stand before the metadata.
    const header = decodeBatchHeader(message.subarray(8));
    if (header.is_compressed) throw new Error("it is compressed, which a rollout file never is");
    batches.push(batchLayout(footer.fields, header, body));
  }
  return batches;
}

function batchLayout(fields: readonly FieldContents[], header: BatchContents, body: Region): BatchLayout {
  const { num_rows } = header;
  let [node, buffer] = [0, 0];
  const nextRegion = (): Region => {
    const region = header.buffers[buffer++];
    if (region === undefined) throw new Error("a record batch has too few buffers");
    const { start, length } = region;
    if (!(start >= 0 && length >= 0 && start + length <= body.length)) throw new Error("a buffer lies outside it");
    return { start: body.start + start, length };
  };
  const column = (field: FieldContents): Column => {
    const { name, kind, width } = field;
    const num_rows = header.rows[node++] ?? -1;
    if (!(num_rows >= 0 && num_rows < max_rows)) throw new Error(`column "${name}" has an impossible length`);
    nextRegion(); // validity
    const regions: Region[] = [];
    for (let left = numRegions(field); left > 0; left--) regions.push(nextRegion());
    const least = leastBytes(field, num_rows);
    if (regions[0] !== undefined && regions[0].length < least) throw new Error(`column "${name}" is cut off`);
    if (kind === "list" && field.children.length !== 1) throw new Error(`list "${name}" has no items`);
    const children = Object.fromEntries(field.children.map((child) => [child.name, column(child)]));
    return { kind, width, num_rows, regions, children };
  };
  const columns = Object.fromEntries(fields.map((field) => [field.name, column(field)]));
  if (Object.values(columns).some((one) => one.num_rows !== num_rows))
    throw new Error("its columns are of different lengths");
  return { num_rows, columns };
}

function numRegions({ name, kind, width }: FieldContents): number {
  if (kind === "struct") return 0;
  if (kind === "utf8") return 2;
  if (kind === "list" || kind === "bool" || width > 0) return 1;
  throw new Error(`column "${name}" has a type that a rollout file never has`);
}

function leastBytes({ kind, width }: ColumnType, num_rows: number): number {
  if (kind === "utf8" || kind === "list") return num_rows === 0 ? 0 : 4 * (num_rows + 1);
  if (kind === "bool") return Math.ceil(num_rows / 8);
  return num_rows * width;
}
