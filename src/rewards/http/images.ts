import { readFile } from "node:fs/promises";
import { ServiceFailure } from "./failure.js";
import type { RewardInput } from "../reward.js";

const signatures = [
  ["image/png", [0x89, 0x50, 0x4e, 0x47]],
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/gif", [0x47, 0x49, 0x46, 0x38]],
  ["image/webp", [0x52, 0x49, 0x46, 0x46]],
  ["image/bmp", [0x42, 0x4d]],
] as const;

/** The sample's images, as they were encoded, as `data:` URLs. */
export const imageUrls = (sample: RewardInput["sample"]): Promise<readonly string[]> =>
  Promise.all(
    sample.images.map(async (image) => {
      const bytes = "bytes" in image ? image.bytes : await read(image.path);
      const type = signatures.find(([, start]) => start.every((byte, i) => bytes[i] === byte))?.[0];
      return `data:${type ?? "application/octet-stream"};base64,${Buffer.from(bytes).toString("base64")}`;
    }),
  );

async function read(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    const message = `cannot send image ${path}: ${(cause as Error).message}`;
    throw new ServiceFailure("error", message, "Check the dataset's images.", { cause });
  }
}
