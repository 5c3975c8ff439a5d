import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";

const types: Readonly<Record<string, string>> = {
  ...{ png: "image/png", jpg: "image/jpeg", gif: "image/gif", webp: "image/webp", bmp: "image/bmp" },
};
const max_bytes = 2 ** 26;

export interface StoredImage {
  readonly type: string;
  readonly bytes: Uint8Array;
}

/** An image of a run by its content hash; undefined if it has none of that name. Links are not followed. */
export async function storedImage(run_folder: string, id: string): Promise<StoredImage | undefined> {
  if (!/^[0-9a-z]{1,128}$/.test(id)) return undefined;
  for (const [extension, type] of Object.entries(types)) {
    const path = join(run_folder, "images", `${id}.${extension}`);
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => undefined);
    if (handle === undefined) continue;
    try {
      const status = await handle.stat();
      if (status.isFile() && status.size <= max_bytes) return { type, bytes: await handle.readFile() };
    } finally {
      await handle.close();
    }
  }
  return undefined;
}
