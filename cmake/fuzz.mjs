// npm run fuzz: the readers of foreign bytes under libFuzzer with AddressSanitizer and UBSan, two minutes each.
//   node cmake/fuzz.mjs [--seconds 120] [safetensors | image ...]
// Corpora live in build-fuzz/corpus and grow from run to run; an input that crashes is left in build-fuzz/found.
import { Buffer } from "node:buffer";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { jobs } from "./build.mjs";
import { findLibtorch } from "./libtorch.mjs";
import { root } from "./paths.mjs";
import { run } from "./process.mjs";
import { SetupError, runScript, seconds, tell } from "./tell.mjs";
import { findTools } from "./tools.mjs";
import { buildTree } from "./tree.mjs";

const targets = ["safetensors", "image"];
const max_input_bytes = 20_000;
const fixtures = join(root, "test", "fixtures");

/** clang++ with libFuzzer's and the sanitizers' run-time libraries: a small program has to link. */
async function findClang() {
  const newest = Array.from({ length: 12 }, (_, i) => `clang++-${25 - i}`);
  const folder = mkdtempSync(join(tmpdir(), "sightloop-fuzz-"));
  try {
    const source = join(folder, "probe.cpp");
    writeFileSync(source, 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }\n');
    for (const program of ["clang++", ...newest]) {
      const flags = ["-std=c++20", "-fsanitize=fuzzer,address,undefined", source, "-o", join(folder, "probe")];
      if ((await run(program, flags)).status === 0) return program;
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  throw new SetupError(
    "npm run fuzz needs clang++ 14 or newer with libFuzzer and the sanitizers: none was found on PATH",
    "On Debian 12: apt-get install clang-14 libclang-rt-14-dev. On Ubuntu: apt-get install clang libclang-rt-dev.",
  );
}

/** A safetensors file. @param {object} header @param {number} bytes of data */
function safetensors(header, bytes) {
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([size, text, Buffer.alloc(bytes, 7)]);
}

/** Inputs to start from: small ones of every kind, and the fixtures' own files. @type {Record<string, (folder: string) => void>} */
const seeds = {
  safetensors(folder) {
    const dtypes = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1 };
    for (const [dtype, size] of Object.entries(dtypes)) {
      const tensor = { dtype, shape: [3, 2], data_offsets: [0, 6 * size] };
      writeFileSync(join(folder, dtype), safetensors({ a: tensor, __metadata__: { format: "pt" } }, 6 * size));
    }
    writeFileSync(join(folder, "nothing"), safetensors({}, 0));
    const whole = readFileSync(join(fixtures, "qwen2_5_vl", "checkpoint", "model.safetensors"));
    writeFileSync(join(folder, "truncated"), whole.subarray(0, max_input_bytes));
  },
  image(folder) {
    for (const name of readdirSync(join(fixtures, "images")))
      if (/\.(png|jpg)$/.test(name)) cpSync(join(fixtures, "images", name), join(folder, name)); // any bytes are pixels
  },
};

/** @param {string} name @param {string} folder of the build @param {number} duration seconds */
async function fuzz(name, folder, duration) {
  const corpus = join(folder, "corpus", name);
  const start = join(folder, "seeds", name);
  const found = join(folder, "found");
  for (const path of [corpus, start, found]) mkdirSync(path, { recursive: true });
  seeds[name]?.(start);
  tell(`fuzzing ${name} for ${duration} s ...`);
  const began = Date.now();
  const dictionary = join(root, "test", "fuzz", `${name}.dict`);
  const { status, output } = await run(join(folder, `fuzz_${name}`), [
    `-max_total_time=${duration}`,
    ...[`-max_len=${max_input_bytes}`, "-timeout=20", "-rss_limit_mb=3000", "-print_final_stats=1"],
    ...(name === "safetensors" ? [`-dict=${dictionary}`] : []),
    `-artifact_prefix=${found}/${name}-`,
    corpus,
    start,
  ]);
  const runs = /number_of_executed_units: (\d+)/.exec(output)?.[1] ?? "0";
  const covered = [...output.matchAll(/cov: (\d+)/g)].at(-1)?.[1] ?? "0";
  if (status !== 0)
    throw new SetupError(
      `${name}: an input fails\n${output.trim().split("\n").slice(-60).join("\n")}`,
      `The input is in ${found}; build-fuzz/fuzz_${name} <input> repeats it. Mend it and keep the input as a test.`,
    );
  tell(`${name}: ${runs} inputs in ${seconds(began)}, ${covered} edges covered, nothing found`);
}

await runScript(async () => {
  const { values, positionals } = parseArgs({
    options: { seconds: { type: "string", default: "120" } },
    allowPositionals: true,
  });
  const unknown = positionals.find((name) => !targets.includes(name));
  if (unknown !== undefined) throw new SetupError(`no fuzz target '${unknown}'`, `Targets: ${targets.join(", ")}.`);
  const compiler = await findClang();
  const { generator } = await findTools();
  const libtorch = await findLibtorch();
  const chosen = positionals.length > 0 ? positionals : targets;
  const folder = await buildTree({
    source: "test/fuzz",
    tree: "build-fuzz",
    generator,
    settings: { CMAKE_CXX_COMPILER: compiler, SIGHTLOOP_LIBTORCH: libtorch.folder },
    targets: chosen.map((name) => `fuzz_${name}`),
    jobs: jobs(),
  });
  for (const name of chosen) await fuzz(name, folder, Number(values.seconds));
});
