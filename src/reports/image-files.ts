import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder, namesIn } from "./files.js";

/** An image as the dataset gave it; `id` is the hash of its bytes, which are read only if they are not stored yet. */
export interface ImageFile {
  readonly id: string;
  readonly read: () => Promise<Uint8Array>;
}

/** Writes each image once, named by content hash. */
export function imageStore(folder: string): (images: readonly ImageFile[]) => Promise<void> {
  let stored: Set<string> | undefined;
  return async (images) => {
    if (stored === undefined) {
      await makeFolder(folder);
      const complete = (await namesIn(folder)).filter((name) => !name.endsWith(".tmp"));
      stored = new Set(complete.map((name) => name.split(".")[0]!));
    }
    for (const { id, read } of images) {
      if (stored.has(id)) continue;
      const bytes = await read();
      const path = join(folder, `${id}.${extension(bytes)}`);
      await writeFile(`${path}.tmp`, bytes);
      await rename(`${path}.tmp`, path);
      stored.add(id);
    }
  };
}

/** By the file's first bytes. */
function extension(bytes: Uint8Array): string {
  const starts = (...values: number[]) => values.every((value, i) => bytes[i] === value);
  if (starts(0x89, 0x50, 0x4e, 0x47)) return "png";
  if (starts(0xff, 0xd8, 0xff)) return "jpg";
  if (starts(0x47, 0x49, 0x46)) return "gif";
  if (starts(0x52, 0x49, 0x46, 0x46)) return "webp";
  if (starts(0x42, 0x4d)) return "bmp";
  return "bin";
}
