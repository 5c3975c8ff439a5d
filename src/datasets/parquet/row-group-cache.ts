import type { Columns } from "./columns.js";
import type { ParquetFile, Row } from "./parquet-file.js";

interface Group {
  readonly file: ParquetFile;
  readonly columns: Columns;
  readonly index: number;
}

/**
 * Row groups used last, up to `max_bytes` of decoded columns, the newest in any case. One is read at a time: what is held
 * beyond the limit is a single row group.
 */
export function rowGroupCache(max_bytes: number) {
  const held = new Map<Group, { readonly rows: Promise<readonly Row[]>; readonly bytes: number }>(); // oldest use first
  let total = 0;
  let last: Promise<unknown> = Promise.resolve();

  const forget = (group: Group): void => {
    const entry = held.get(group);
    if (entry === undefined) return;
    held.delete(group);
    total -= entry.bytes;
  };
  return {
    get(group: Group): Promise<readonly Row[]> {
      const known = held.get(group);
      if (known !== undefined) {
        held.delete(group);
        held.set(group, known);
        return known.rows;
      }
      const columns = Object.values(group.columns).filter((name): name is string => name !== undefined);
      const bytes = group.file.bytesOf(group.index, columns);
      const rows = last.then(() => {
        for (const old of held.keys()) if (total > max_bytes && old !== group) forget(old);
        return group.file.read(group.index, columns);
      });
      last = rows.catch(() => forget(group)); // a failed read may be tried again
      held.set(group, { rows, bytes });
      total += bytes;
      return rows;
    },
  };
}
