import { basename, resolve } from "node:path";
import type { ImageSource, Sample } from "../../batches/sample.js";
import { BadRow } from "../reading/bad-row.js";
import { show, stringOf, textOf, utf8 } from "../reading/values.js";
import type { Columns } from "./columns.js";
import type { Row } from "./parquet-file.js";

interface RowOptions {
  readonly columns: Columns;
  /** Of a row that has none. */
  readonly id: string;
  /** Where relative image paths start. */
  readonly folder: string;
}

/** @throws BadRow */
export function sampleOf(row: Row, { columns, id, folder }: RowOptions): Sample {
  const given = (column: string | undefined): unknown => (column === undefined ? undefined : textIfBytes(row[column]));
  const own_id = given(columns.id) ?? undefined;
  const solution = given(columns.solution) ?? undefined;
  const images = columns.images === undefined ? undefined : row[columns.images];
  return {
    id: own_id === undefined ? id : textOf(columns.id!, own_id),
    question: stringOf(columns.question, given(columns.question)),
    answer: textOf(columns.answer, given(columns.answer)),
    ...(solution !== undefined && { solution: stringOf(columns.solution!, solution) }),
    images: Array.isArray(images)
      ? images.map((image) => imageOf(image, columns.images!, folder) ?? missing(columns.images!))
      : [imageOf(images, columns.images ?? "", folder)].filter((image) => image !== undefined),
  };
}

/** Text whose column is not declared as such. */
const textIfBytes = (value: unknown): unknown => (value instanceof Uint8Array ? utf8(value) : value);

const missing = (column: string): never => {
  throw new BadRow(`"${column}" holds an image that is missing (null)`);
};

/** An image as `datasets` stores it, {bytes, path}; its bytes alone; or a path. Undefined for null. */
function imageOf(value: unknown, column: string, folder: string): ImageSource | undefined {
  if (value === null || value === undefined) return undefined;
  if (value instanceof Uint8Array) return bytesOf(value, undefined, column);
  if (typeof value === "string") return { path: resolve(folder, value) };
  if (typeof value === "object" && ("bytes" in value || "path" in value)) {
    const { bytes, path } = value as { readonly bytes?: unknown; readonly path?: unknown };
    const name = typeof path === "string" && path !== "" ? path : undefined;
    if (bytes instanceof Uint8Array) return bytesOf(bytes, name, column);
    if (bytes === null || bytes === undefined) return name === undefined ? undefined : { path: resolve(folder, name) };
  }
  throw new BadRow(`"${column}" holds ${show(value)}; expected an image: {bytes, path}, bytes, or a path`);
}

function bytesOf(bytes: Uint8Array, name: string | undefined, column: string): ImageSource {
  if (bytes.length === 0) throw new BadRow(`"${column}" holds an image that is empty (0 bytes)`);
  return { bytes, ...(name !== undefined && { name: basename(name) }) };
}
