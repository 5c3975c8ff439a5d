/**
 * Makes the atlases and photos.json beside this file from the original Fashion-MNIST files:
 *
 *   apt-get download dataset-fashion-mnist && dpkg -x dataset-fashion-mnist_*.deb original
 *   node configs/data/fashion_mnist/make-photos.mjs original/usr/share/datasets/fashion-mnist
 *
 * An atlas is a grayscale PNG of whole photos, row by row, in the official order of their class. Every row of pixels
 * is Paeth-filtered, which compresses these photos best (14.6 MB; gzip of the plain bytes: 16.0 MB).
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { constants, crc32, deflateSync, gunzipSync } from "node:zlib";

const size = 28;
const classes = { top: 0, trouser: 1, pullover: 2, dress: 3, bag: 8, boot: 9 };
const splits = [
  { split: "train", prefix: "train", columns: 60, count: () => 6000 },
  { split: "test", prefix: "t10k", columns: 20, count: (/** @type {number} */ i) => (i < 2 ? 334 : 333) },
];

const source = process.argv[2];
if (source === undefined) throw new Error("usage: make-photos.mjs <folder of the original *-ubyte.gz files>");
const target = import.meta.dirname;

const files = splits.flatMap(({ split, prefix, columns, count }) => {
  const pixels = gunzipSync(readFileSync(join(source, `${prefix}-images-idx3-ubyte.gz`))).subarray(16);
  const labels = gunzipSync(readFileSync(join(source, `${prefix}-labels-idx1-ubyte.gz`))).subarray(8);
  return Object.entries(classes).map(([name, label], i) => {
    const photos = [...labels.keys()]
      .filter((photo) => labels[photo] === label)
      .slice(0, count(i))
      .map((photo) => pixels.subarray(photo * size * size, (photo + 1) * size * size));
    const file = `${split}-${name}.png`;
    writeFileSync(join(target, file), atlas(photos, columns));
    const hash = createHash("sha256");
    for (const photo of photos) hash.update(photo);
    return { split, class: name, file, photos: photos.length, sha256: hash.digest("hex") };
  });
});
writeFileSync(join(target, "photos.json"), `${JSON.stringify({ photo_size: size, files }, null, 2)}\n`);

/** @param {Buffer[]} photos @param {number} columns */
function atlas(photos, columns) {
  const width = columns * size;
  const height = Math.ceil(photos.length / columns) * size;
  const gray = Buffer.alloc(width * height);
  photos.forEach((photo, n) => {
    const corner = Math.floor(n / columns) * size * width + (n % columns) * size;
    for (let y = 0; y < size; y++) photo.copy(gray, corner + y * width, y * size, (y + 1) * size);
  });
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8; // bits; the colour type stays 0: grayscale
  const data = deflateSync(paeth(gray, width, height), { level: 9, memLevel: 9, strategy: constants.Z_FILTERED });
  const signature = Buffer.from("89504e470d0a1a0a", "hex");
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}

/** @param {Buffer} gray @param {number} width @param {number} height */
function paeth(gray, width, height) {
  const filtered = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) {
    filtered[y * (width + 1)] = 4;
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      const left = x > 0 ? gray[at - 1] : 0;
      const up = y > 0 ? gray[at - width] : 0;
      const corner = x > 0 && y > 0 ? gray[at - width - 1] : 0;
      const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
      filtered[y * (width + 1) + 1 + x] = gray[at] - (a <= b && a <= c ? left : b <= c ? up : corner);
    }
  }
  return filtered;
}

/** @param {string} type @param {Buffer} data */
function chunk(type, data) {
  const bytes = Buffer.alloc(12 + data.length);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, "latin1");
  data.copy(bytes, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}
