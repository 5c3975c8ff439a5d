import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../errors.js";

/**
 * Looks through a checkpoint that has been written: every safetensors file is as long as its header says, every JSON file
 * parses.
 * @throws UserError CHECKPOINT_INVALID
 */
export async function verifyCheckpoint(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const wrong = entry.name.endsWith(".safetensors")
      ? await wrongLength(path)
      : entry.name.endsWith(".json")
        ? await notJson(path)
        : undefined;
    if (wrong !== undefined)
      throw new UserError(
        "CHECKPOINT_INVALID",
        `${path} is not what was written: ${wrong}`,
        "The disk or its file system is at fault. Earlier checkpoints are kept: use another run_folder, or --resume.",
      );
  }
}

async function notJson(path: string): Promise<string | undefined> {
  try {
    JSON.parse(await readFile(path, "utf8"));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Source: the safetensors format: 8 bytes header length, header, data. */
async function wrongLength(path: string): Promise<string | undefined> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const length = Buffer.alloc(8);
    if ((await file.read(length, 0, 8, 0)).bytesRead < 8) return `it has ${size} bytes`;
    const header_bytes = Number(length.readBigUInt64LE());
    if (8 + header_bytes > size) return `its header has ${header_bytes} bytes, the file ${size}`;
    const text = Buffer.alloc(header_bytes);
    await file.read(text, 0, header_bytes, 8);
    const header = JSON.parse(text.toString("utf8")) as Record<string, { data_offsets?: readonly [number, number] }>;
    const end = Object.values(header).reduce((max, { data_offsets }) => Math.max(max, data_offsets?.[1] ?? 0), 0);
    const expected = 8 + header_bytes + end;
    return expected === size ? undefined : `it has ${size} bytes, its header describes ${expected}`;
  } catch (error) {
    return (error as Error).message;
  } finally {
    await file.close();
  }
}
