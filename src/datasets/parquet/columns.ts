import { UserError } from "../../errors.js";
import type { ParquetFile } from "./parquet-file.js";

/** Columns by what they hold. */
export interface Columns {
  readonly question: string;
  readonly answer: string;
  readonly solution: string | undefined;
  readonly id: string | undefined;
  readonly images: string | undefined;
}

export interface ColumnParams {
  readonly question: string;
  readonly answer: string;
  readonly solution?: string | null | undefined;
  readonly id?: string | null | undefined;
  readonly images?: string | null | undefined;
}

/** @throws UserError DATASET_INVALID naming the column that is not there and those that are */
export function chooseColumns({ path, columns }: ParquetFile, params: ColumnParams): Columns {
  const refuse = (what: string, hint: string): UserError =>
    new UserError("DATASET_INVALID", `${path}: ${what}; it has ${columns.join(", ")}`, hint);
  const need = (key: string, name: string): string => {
    if (columns.includes(name)) return name;
    throw refuse(`no column "${name}"`, `Name the right one: columns: { ${key}: ... }.`);
  };
  const optional = (key: "solution" | "id"): string | undefined => {
    const name = params[key];
    if (name === null) return undefined;
    return name === undefined ? columns.find((column) => column === key) : need(key, name);
  };
  const images = (): string | undefined => {
    if (params.images === null) return undefined;
    if (params.images !== undefined) return need("images", params.images);
    const found = ["images", "image"].filter((name) => columns.includes(name));
    if (found.length === 1) return found[0];
    throw refuse(
      found.length === 0 ? 'no column "images" or "image"' : 'columns "images" and "image"',
      "Name the right one, columns: { images: ... }, or null for none.",
    );
  };
  return {
    question: need("question", params.question),
    answer: need("answer", params.answer),
    solution: optional("solution"),
    id: optional("id"),
    images: images(),
  };
}
