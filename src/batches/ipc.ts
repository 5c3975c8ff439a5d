import { type RecordBatch, RecordBatchStreamWriter, tableFromIPC } from "apache-arrow";

/** A batch as bytes of an Arrow stream, to send to another process. */
export const encodeBatch = (batch: RecordBatch): Uint8Array =>
  RecordBatchStreamWriter.writeAll([batch]).toUint8Array(true);

/** What `encodeBatch` was given. */
export const decodeBatch = <B extends RecordBatch>(bytes: Uint8Array): B => tableFromIPC(bytes).batches[0] as B;
