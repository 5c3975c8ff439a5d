import { MessageHeader, Schema } from "apache-arrow";
import { Footer } from "apache-arrow/fb/footer";
import { Message } from "apache-arrow/fb/message";
import { RecordBatch as FlatRecordBatch } from "apache-arrow/fb/record-batch";
import { FileBlock } from "apache-arrow/ipc/metadata/file";
import { RecordBatch } from "apache-arrow/ipc/metadata/message";
import { ByteBuffer } from "flatbuffers";

/**
 * Metadata of an Arrow file, which may be damaged: lists that claim more items than the bytes could hold are refused, where
 * apache-arrow's own decoders would go through billions of them.
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

export interface FooterContents {
  readonly schema: Schema;
  readonly num_dictionaries: number;
  readonly batches: readonly FileBlock[];
}

/** @throws Error */
export function decodeFooter(bytes: Uint8Array): FooterContents {
  const footer = Footer.getRootAsFooter(new CheckedBuffer(bytes));
  const schema = footer.schema();
  if (schema === null) throw new Error("its footer has no schema");
  const batches = Array.from({ length: footer.recordBatchesLength() }, (_, i) =>
    FileBlock.decode(footer.recordBatches(i)!),
  );
  const num_dictionaries = footer.dictionariesLength();
  return { schema: Schema.decode(schema, new Map(), footer.version()), num_dictionaries, batches };
}

/** @throws Error */
export function decodeBatchHeader(bytes: Uint8Array): RecordBatch {
  const message = Message.getRootAsMessage(new CheckedBuffer(bytes));
  const header: unknown =
    message.headerType() === MessageHeader.RecordBatch ? message.header(new FlatRecordBatch()) : null;
  if (header === null) throw new Error("what should be a record batch is none");
  return RecordBatch.decode(header as FlatRecordBatch, message.version());
}
