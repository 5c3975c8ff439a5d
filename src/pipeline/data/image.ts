import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import sharp from "sharp";
import type { ImageSource } from "../../batches/sample.js";
import type { DecodedImage } from "../../engine/engine.js";
import { UserError } from "../../errors.js";
import { isAnimatedPng } from "./animated-png.js";

/** An encoded image in memory. `id` is the SHA-256 of its bytes, hexadecimal; `name` stands for it in messages. */
export interface ImageFile {
  readonly id: string;
  readonly name: string;
  readonly bytes: Uint8Array;
}

const FORMATS = ["jpeg", "png", "webp", "gif"];
const REPLACE = "Replace the image, or remove the sample from the dataset.";
const CONVERT = "Convert it to an 8-bit RGB or grayscale PNG or JPEG, or remove the sample from the dataset.";

/** @param owner whose image it is, such as `sample "geo-12"` */
export async function readImage(source: ImageSource, owner: string): Promise<ImageFile> {
  const name = "path" in source ? `${source.path} (${owner})` : `${source.name ?? "image"} of ${owner}`;
  const bytes = "path" in source ? await readBytes(source.path, name) : source.bytes;
  if (bytes.length === 0) throw new UserError("IMAGE_INVALID", `${name}: the image is empty (0 bytes)`, REPLACE);
  return { id: createHash("sha256").update(bytes).digest("hex"), name, bytes };
}

async function readBytes(path: string, name: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new UserError(
      missing ? "FILE_NOT_FOUND" : "IMAGE_INVALID",
      missing ? `${name}: there is no such image file` : `${name}: cannot be read (${(error as Error).message})`,
      "Image paths are relative to the dataset file. Correct the path, or remove the sample from the dataset.",
      { cause: error },
    );
  }
}

/** An image whose header has been read and found acceptable; its pixels take memory only once it is decoded. */
export interface OpenedImage {
  readonly id: string;
  readonly name: string;
  /** Width x height. */
  readonly num_pixels: number;
  readonly decode: () => Promise<DecodedImage>;
}

/** Largest width x height of an encoded image unless a run says otherwise: 400 MB while it is decoded. */
export const MAX_IMAGE_PIXELS = 2 ** 27;

export const decodeImage = async (file: ImageFile): Promise<DecodedImage> => (await openImage(file)).decode();

/**
 * Pixels as the reference sees them (Pillow's `Image.open(file).convert("RGB")`, byte for byte): EXIF orientation and
 * colour profiles are ignored, alpha is dropped without compositing, gray is repeated, palettes are looked up.
 * @throws UserError IMAGE_INVALID for damaged files, for images of more than `max_image_pixels`, and for kinds that are
 *   not known to match: CMYK, animated, more than 8 bits per channel, transparent GIF, other formats
 */
export async function openImage(
  { id, name, bytes }: ImageFile,
  max_image_pixels = MAX_IMAGE_PIXELS,
): Promise<OpenedImage> {
  const refuse = (what: string, hint = CONVERT) => new UserError("IMAGE_INVALID", `${name}: ${what}`, hint);
  const damaged = (error: unknown) => {
    const cause = (error as Error).message.trim().replaceAll(/\s*\n\s*/g, "; ");
    return new UserError("IMAGE_INVALID", `${name}: damaged, cut off, or not an image (${cause})`, REPLACE, {
      cause: error,
    });
  };

  // The limit on pixels is ours, so that the message can say how to raise it.
  const image = sharp(bytes, { failOn: "error", ignoreIcc: true, limitInputPixels: false });
  const kind = await image.metadata().catch((error: unknown) => {
    throw damaged(error);
  });
  if (!FORMATS.includes(kind.format))
    throw refuse(`${kind.format} images are not supported, only ${FORMATS.join(", ")}`);
  if (kind.space === "cmyk") throw refuse("CMYK images are not supported");
  if (kind.depth !== "uchar")
    throw refuse(`${kind.bitsPerSample ?? 16}-bit images are not supported, only 8 bits per channel`);
  if ((kind.pages ?? 1) > 1 || isAnimatedPng(bytes)) throw refuse("animated images are not supported");
  if (kind.format === "gif" && kind.hasAlpha) throw refuse("transparent GIF images are not supported");
  const num_pixels = kind.width * kind.height;
  if (num_pixels > max_image_pixels)
    throw refuse(
      `its ${kind.width} x ${kind.height} pixels (width x height) are over max_image_pixels ${max_image_pixels}`,
      "Scale the image down, or raise prompt.max_image_pixels (a pixel takes 3 bytes and more while it is decoded).",
    );

  const decode = async (): Promise<DecodedImage> => {
    const { data, info } = await image
      .removeAlpha()
      .toColourspace("srgb")
      .raw()
      .toBuffer({ resolveWithObject: true })
      .catch((error: unknown) => {
        throw damaged(error);
      });
    if (info.channels !== 3) throw refuse(`its ${info.channels} channels are not red, green and blue`);
    return { id, rgb: data, height: info.height, width: info.width };
  };
  return { id, name, num_pixels, decode };
}
