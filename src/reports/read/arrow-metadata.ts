import type { Field } from "apache-arrow/fb/field";
import { FloatingPoint } from "apache-arrow/fb/floating-point";
import { Footer } from "apache-arrow/fb/footer";
import { Int } from "apache-arrow/fb/int";
import { Message } from "apache-arrow/fb/message";
import { MessageHeader } from "apache-arrow/fb/message-header";
import { RecordBatch } from "apache-arrow/fb/record-batch";
import { Type } from "apache-arrow/fb/type";
import { ByteBuffer } from "flatbuffers";

/**
 * Metadata of an Arrow file, which may be damaged: lists that claim more items than the bytes could hold are refused, where
 * plain decoding would go through billions of them. Decoded from flatbuffers directly: all of apache-arrow takes longer to load
 * than many files to read.
 */
class CheckedBuffer extends ByteBuffer {
  #items_left = this.capacity();

  override __vector_len(offset: number): number {
    const length = super.__vector_len(offset);
    this.#items_left -= length;
    if (!(length >= 0 && this.#items_left >= 0)) throw new Error("its metadata is damaged");
    return length;
  }
}

/** A column's type; `other` is one that a rollout file never has. */
export interface ColumnType {
  readonly kind: "int" | "float" | "bool" | "utf8" | "list" | "struct" | "other";
  /** Bytes of a value of fixed width; 0 for other types. */
  readonly width: number;
}

export interface FieldContents extends ColumnType {
  readonly name: string;
  readonly children: readonly FieldContents[];
}

/** A stretch of the file, bytes. */
export interface Region {
  readonly start: number;
  readonly length: number;
}

export interface FooterContents {
  readonly fields: readonly FieldContents[];
  readonly num_dictionaries: number;
  readonly batches: readonly { readonly metadata: Region; readonly body: Region }[];
}

/** Lengths as the header claims them, of any size. */
export interface BatchContents {
  readonly num_rows: number;
  /** Of each column and its parts, depth first. */
  readonly rows: readonly number[];
  /** Within the batch's body. */
  readonly buffers: readonly Region[];
  readonly is_compressed: boolean;
}

/** @throws Error */
export function decodeFooter(bytes: Uint8Array): FooterContents {
  const footer = Footer.getRootAsFooter(new CheckedBuffer(bytes));
  const schema = footer.schema();
  if (schema === null) throw new Error("its footer has no schema");
  return {
    fields: listOf(schema.fieldsLength(), (i) => fieldContents(schema.fields(i)!)),
    num_dictionaries: footer.dictionariesLength(),
    batches: listOf(footer.recordBatchesLength(), (i) => {
      const block = footer.recordBatches(i)!;
      const metadata = { start: Number(block.offset()), length: block.metaDataLength() };
      return { metadata, body: { start: metadata.start + metadata.length, length: Number(block.bodyLength()) } };
    }),
  };
}

const fieldContents = (field: Field): FieldContents => ({
  name: field.name() ?? "",
  ...(field.dictionary() === null ? typeOf(field) : other),
  children: listOf(field.childrenLength(), (i) => fieldContents(field.children(i)!)),
});

const other: ColumnType = { kind: "other", width: 0 };

function typeOf(field: Field): ColumnType {
  switch (field.typeType()) {
    case Type.Int:
      return { kind: "int", width: (field.type(new Int()) as Int).bitWidth() / 8 };
    case Type.FloatingPoint:
      return { kind: "float", width: [2, 4, 8][(field.type(new FloatingPoint()) as FloatingPoint).precision()] ?? 0 };
    case Type.Bool:
      return { kind: "bool", width: 0 };
    case Type.Utf8:
      return { kind: "utf8", width: 0 };
    case Type.List:
      return { kind: "list", width: 0 };
    case Type.Struct_:
      return { kind: "struct", width: 0 };
    default:
      return other;
  }
}

/** @throws Error */
export function decodeBatchHeader(bytes: Uint8Array): BatchContents {
  const message = Message.getRootAsMessage(new CheckedBuffer(bytes));
  const header =
    message.headerType() === MessageHeader.RecordBatch
      ? (message.header(new RecordBatch()) as RecordBatch | null)
      : null;
  if (header === null) throw new Error("what should be a record batch is none");
  return {
    num_rows: Number(header.length()),
    rows: listOf(header.nodesLength(), (i) => Number(header.nodes(i)!.length())),
    buffers: listOf(header.buffersLength(), (i) => {
      const buffer = header.buffers(i)!;
      return { start: Number(buffer.offset()), length: Number(buffer.length()) };
    }),
    is_compressed: header.compression() !== null,
  };
}

/** A loop: `Array.from` takes several times as long. */
function listOf<T>(length: number, itemAt: (index: number) => T): readonly T[] {
  const items: T[] = [];
  for (let i = 0; i < length; i++) items.push(itemAt(i));
  return items;
}
