/**
 * Writes tokenizer.json beside this file:   node configs/models/fashion_grid_tiny/make-tokenizer.mjs
 * or, with further words, into another preset:   ... make-tokenizer.mjs configs/models/fashion_grid_recheck wait check again
 *
 * A byte-level BPE like Qwen's, with two differences: numbers stay whole (Qwen splits them into digits), and the merges
 * are not learned from a corpus but built for the words of `fashion_grid`, so that each class and each number from 0 to
 * 20 is one token. Any other text falls back to bytes.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const [output = import.meta.dirname, ...more] = process.argv.slice(2);
const spaced = ["top", "trouser", "pullover", "dress", "bag", "boot", "total", ...more];
const bare = ["system", "user", "assistant", "prices"];
const numbers = Array.from({ length: 21 }, (_, n) => String(n));

/** Names and order of Qwen2.5-VL; then the two tags, which stay visible when special tokens are skipped. */
const special = [
  "<|endoftext|>",
  "<|im_start|>",
  "<|im_end|>",
  "<|object_ref_start|>",
  "<|object_ref_end|>",
  "<|box_start|>",
  "<|box_end|>",
  "<|quad_start|>",
  "<|quad_end|>",
  "<|vision_start|>",
  "<|vision_end|>",
  "<|vision_pad|>",
  "<|image_pad|>",
  "<|video_pad|>",
];
const tags = ["<think>", "</think>"];

/** GPT-2's printable stand-ins for the 256 bytes; those that are printable already come first. */
function byteSymbols() {
  const ranges = [
    [0x21, 0x7e],
    [0xa1, 0xac],
    [0xae, 0xff],
  ];
  const printable = ranges.flatMap(([from = 0, to = 0]) => Array.from({ length: to - from + 1 }, (_, i) => from + i));
  const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !printable.includes(byte));
  return [...printable, ...others.map((_, i) => 256 + i)].map((code) => String.fromCodePoint(code));
}

const space = "\u0120";
const vocabulary = byteSymbols();
/** @type {string[]} */
const merges = [];

/**
 * Joins a word letter by letter from its start. Words that begin with a space come first: their merges then rank
 * before those of bare words, so "us" of "user" cannot break up " trouser".
 */
for (const word of [...spaced, ...numbers].map((text) => space + text).concat(bare, numbers))
  for (let length = 2; length <= word.length; length++) {
    if (vocabulary.includes(word.slice(0, length))) continue;
    merges.push(`${word.slice(0, length - 1)} ${word.slice(length - 1, length)}`);
    vocabulary.push(word.slice(0, length));
  }

const added = [...special, ...tags].map((content, i) => ({
  id: vocabulary.length + i,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: special.includes(content),
}));

const pattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const byte_level = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };

const tokenizer = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: added,
  normalizer: { type: "NFC" },
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [{ type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false }, byte_level],
  },
  post_processor: byte_level,
  decoder: byte_level,
  model: {
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: "",
    end_of_word_suffix: "",
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
    merges,
  },
};
writeFileSync(join(output, "tokenizer.json"), `${JSON.stringify(tokenizer, null, 2)}\n`);
