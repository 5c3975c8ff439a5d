import { basename, dirname, join } from "node:path";
import {
  type AsyncBuffer,
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { UserError } from "../../errors.js";

export interface RowGroup {
  readonly num_rows: number;
  /** Of its first row in the file. */
  readonly first_row: number;
}

/** A parquet file of which only the footer has been read. */
export interface ParquetFile {
  /** As messages name it. */
  readonly path: string;
  /** Unique in the dataset. */
  readonly name: string;
  /** Where relative image paths start. */
  readonly folder: string;
  /** Names of the top level. */
  readonly columns: readonly string[];
  readonly row_groups: readonly RowGroup[];
  /** Bytes of a row group's columns when decoded. */
  bytesOf(group: number, columns: readonly string[]): number;
  /** @throws UserError DATASET_INVALID if it is damaged */
  read(group: number, columns: readonly string[]): Promise<readonly Row[]>;
}

export type Row = Readonly<Record<string, unknown>>;

/** @param name relative to `root`; "" for `root` itself. @throws UserError DATASET_INVALID, FILE_NOT_FOUND */
export async function openParquet(root: string, name: string): Promise<ParquetFile> {
  const path = join(root, name);
  const damaged = (error: unknown, what = "not a parquet file, cut off, or damaged"): UserError => {
    const cause = error instanceof Error ? error.message : String(error);
    return new UserError("DATASET_INVALID", `${path}: ${what} (${cause})`, "Write or download the file again.", {
      cause: error,
    });
  };
  let file: AsyncBuffer;
  let metadata: FileMetaData;
  let columns: readonly string[];
  let row_groups: RowGroup[];
  try {
    file = await asyncBufferFromFile(path);
    metadata = await parquetMetadataAsync(file);
    columns = parquetSchema(metadata).children.map(({ element }) => element.name);
    let first_row = 0;
    row_groups = metadata.row_groups.map(({ num_rows }) => {
      const group = { num_rows: Number(num_rows), first_row };
      if (!Number.isSafeInteger(group.num_rows) || group.num_rows < 0)
        throw new Error(`a row group of ${num_rows} rows`);
      first_row += group.num_rows;
      return group;
    });
  } catch (error) {
    throw damaged(error);
  }
  return {
    ...{ path, name: name === "" ? basename(path) : name, folder: dirname(path), columns, row_groups },
    bytesOf: (group, wanted) =>
      metadata.row_groups[group]!.columns.reduce(
        (sum, { meta_data }) =>
          wanted.includes(meta_data?.path_in_schema[0] ?? "") ? sum + Number(meta_data!.total_uncompressed_size) : sum,
        0,
      ),
    async read(group, wanted) {
      const { first_row, num_rows } = row_groups[group]!;
      let rows: readonly Row[];
      try {
        rows = await parquetReadObjects({
          ...{ file, metadata, compressors, columns: [...wanted] },
          ...{ rowStart: first_row, rowEnd: first_row + num_rows },
          utf8: false, // bytes that are not declared text are images
          parsers: { stringFromBytes: textOrBytes },
        });
      } catch (error) {
        throw damaged(
          error,
          `rows ${first_row} to ${first_row + num_rows - 1} cannot be read: damaged, or packed in an unknown way`,
        );
      }
      if (rows.length === num_rows) return rows;
      throw damaged(`${rows.length} of ${num_rows} rows`, `rows from ${first_row} on cannot be read`);
    },
  };
}

/** Text that is not UTF-8 stays bytes, so that its row can be named. */
function textOrBytes(bytes: Uint8Array | undefined): string | Uint8Array | undefined {
  if (bytes === undefined) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return bytes;
  }
}
