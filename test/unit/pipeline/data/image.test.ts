import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import sharp from "sharp";
import { afterAll, describe, expect, test } from "vitest";
import { decodeImage, openImage, readImage } from "../../../../src/pipeline/data/image.js";

const folder = mkdtempSync(join(tmpdir(), "sightloop-image-"));
afterAll(() => rmSync(folder, { recursive: true }));

const height = 12;
const width = 10;
/** Every pixel another colour. */
const noise = (channels: 1 | 2 | 3 | 4, rows = height) =>
  Uint8Array.from({ length: rows * width * channels }, (_, i) => (i * 7919) % 251);
const raw = (channels: 1 | 2 | 3 | 4) => sharp(noise(channels), { raw: { width, height, channels } });
const frames = () =>
  sharp(noise(3, 2 * height), { raw: { width, height: 2 * height, channels: 3, pageHeight: height } });
const decode = async (bytes: Uint8Array) => decodeImage(await readImage({ bytes, name: "x" }, 'sample "s1"'));

/** A PNG with one more chunk after its header. */
function withChunk(png: Uint8Array, type: string, data: Uint8Array): Uint8Array {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  const header = 8 + 25;
  return Buffer.concat([png.subarray(0, header), length, body, check, png.subarray(header)]);
}

function chunk(png: Buffer, type: string): Uint8Array {
  const at = png.indexOf(type, 0, "latin1");
  return png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4));
}

describe("pixels", () => {
  const gray = noise(1);
  const repeated = Uint8Array.from({ length: gray.length * 3 }, (_, i) => gray[Math.floor(i / 3)]!);
  const withoutAlpha = (values: Uint8Array) => values.filter((_, i) => i % 4 !== 3);
  test.each([
    ["RGB", raw(3).png(), noise(3)],
    ["RGB in lossless WebP", raw(3).webp({ lossless: true }), noise(3)],
    ["grayscale, repeated", raw(1).toColourspace("b-w").png(), repeated],
    ["RGBA, alpha dropped and not composited", raw(4).png(), withoutAlpha(noise(4))],
    ["EXIF orientation, ignored", raw(3).withMetadata({ orientation: 6 }).png(), noise(3)],
  ])("%s", async (_, image, expected) => {
    const decoded = await decode(await image.toBuffer());
    expect([decoded.height, decoded.width]).toEqual([height, width]);
    expect(Array.from(decoded.rgb)).toEqual(Array.from(expected));
  });

  test("colour profiles are ignored", async () => {
    const profile = chunk(await raw(3).withIccProfile("p3").png().toBuffer(), "iCCP");
    const profiled = withChunk(await raw(3).png().toBuffer(), "iCCP", profile);
    expect((await sharp(profiled).metadata()).icc).toBeDefined();
    expect(Array.from((await decode(profiled)).rgb)).toEqual(Array.from(noise(3)));
  });

  test("the id is the SHA-256 of the file's bytes", async () => {
    const path = join(folder, "a.txt");
    writeFileSync(path, "abc");
    const { id } = await readImage({ path }, "it");
    expect(id).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect((await readImage({ bytes: Buffer.from("abc") }, "it")).id).toBe(id);
  });
});

describe("refusals name the image and its sample", () => {
  const jpeg = () => raw(3).jpeg().toBuffer();
  const png = () => raw(3).png().toBuffer();
  const actl = Uint8Array.of(0, 0, 0, 2, 0, 0, 0, 0);
  const damaged = "damaged, cut off, or not an image";
  test.each<[string, () => Promise<Uint8Array>, string]>([
    ["empty", async () => new Uint8Array(), "the image is empty (0 bytes)"],
    ["text", async () => Buffer.from("not an image at all"), damaged],
    ["truncated JPEG", async () => (await jpeg()).subarray(0, -30), damaged],
    ["truncated PNG", async () => (await png()).subarray(0, 80), damaged],
    ["CMYK", () => raw(3).toColourspace("cmyk").jpeg().toBuffer(), "CMYK images are not supported"],
    ["16-bit gray", () => raw(1).toColourspace("grey16").png().toBuffer(), "16-bit images are not supported"],
    ["16-bit RGB", () => raw(3).toColourspace("rgb16").png().toBuffer(), "16-bit images are not supported"],
    ["animated GIF", () => frames().gif().toBuffer(), "animated images are not supported"],
    ["animated WebP", () => frames().webp().toBuffer(), "animated images are not supported"],
    ["animated PNG", async () => withChunk(await png(), "acTL", actl), "animated images are not supported"],
    ["transparent GIF", () => raw(4).gif().toBuffer(), "transparent GIF images are not supported"],
    ["TIFF", () => raw(3).tiff().toBuffer(), "tiff images are not supported"],
  ])("%s", async (_, bytes, message) => {
    await expect(bytes().then(decode)).rejects.toMatchObject({
      name: "UserError",
      code: "IMAGE_INVALID",
      message: expect.stringContaining(`x of sample "s1": ${message}`) as string,
    });
  });

  test("a decompression bomb is refused by its header: 30,000 x 30,000 pixels in a file of nothing", async () => {
    const bomb = Buffer.from(await png());
    bomb.writeUInt32BE(30_000, 16);
    bomb.writeUInt32BE(30_000, 20);
    bomb.writeUInt32BE(crc32(bomb.subarray(12, 29)), 29);
    const before = process.memoryUsage().rss;
    await expect(decode(bomb)).rejects.toMatchObject({
      code: "IMAGE_INVALID",
      message: 'x of sample "s1": its 30000 x 30000 pixels (width x height) are over max_image_pixels 134217728',
      hint: expect.stringContaining("prompt.max_image_pixels") as string,
    });
    expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
  });

  test("the limit on pixels is the caller's", async () => {
    const file = await readImage({ bytes: await png() }, "it");
    expect((await openImage(file, width * height)).num_pixels).toBe(width * height);
    await expect(openImage(file, width * height - 1)).rejects.toThrow("max_image_pixels 119");
  });

  test("100 megapixels are decoded, in the memory that they take and a little more", async () => {
    const plain = { create: { width: 10_000, height: 10_000, channels: 3, background: "#336699" } } as const;
    const bytes = await sharp(plain).jpeg().toBuffer();
    const { rgb, height: rows } = await decode(bytes);
    expect(rows).toBe(10_000);
    expect(rgb.length).toBe(3e8);
    expect(process.resourceUsage().maxRSS * 1024).toBeLessThan(1.5e9);
  });

  test("a PNG with one frame in its acTL is not animated", async () => {
    const still = withChunk(await png(), "acTL", Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0));
    expect((await decode(still)).width).toBe(width);
  });

  test.each([
    ["no such file", join(folder, "gone.png"), "FILE_NOT_FOUND", "there is no such image file"],
    ["a folder", folder, "IMAGE_INVALID", "cannot be read"],
  ])("%s", async (_, path, code, message) => {
    const expected = { code, message: expect.stringContaining(`${path} (sample "s1"): ${message}`) as string };
    await expect(readImage({ path }, 'sample "s1"')).rejects.toMatchObject(expected);
  });
});
