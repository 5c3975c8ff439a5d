// Whether a 3B model loads in the memory it needs: makes a Qwen2.5-VL-3B folder (bfloat16, random weights, 7.5 GB), drops
// it from the page cache, loads it and generates 8 tokens; prints one line of JSON. Needs 8 GB of disk and of memory, and
// `npm run build`.
//   node bench/load-3b.mjs [folder for the model, default: a temporary one, deleted afterwards]
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";

const root = join(import.meta.dirname, "..");
const main = join(root, "dist", "cli", "main.js");

/** Of this process so far. */
const ownReads = () => Number(/^read_bytes: (\d+)/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1]);

if (process.argv[2] === "--load") {
  const { openInference } = await import(join(root, "dist/pipeline/inference.js"));
  const { buildPrompts } = await import(join(root, "dist/pipeline/data/prompts.js"));
  const model_path = process.argv[3];
  const [start, reads] = [performance.now(), ownReads()];
  const model = await openInference({ model_path, seed: 0, threads: 0, dtype: "bfloat16" });
  const { engine, processor } = model;
  const load_seconds = (performance.now() - start) / 1000;
  const read_bytes = ownReads() - reads;
  const { peak_rss_bytes: loaded } = await engine.memory();
  const sample = { id: "q", question: "What is this?", answer: "", images: [] };
  const prompts = await buildPrompts(engine, processor, [{ prompt_id: 0, sample }], { max_prompt_tokens: 100 });
  const sampling = { temperature: 0, top_k: 0, top_p: 1, seed: 0, step: 0, max_completion_tokens: 8 };
  const shape = { max_concurrent_completions: 1, kv_block_size: 16, stream: false, stop_token_ids: [] };
  const generating = performance.now();
  await engine.generate(prompts, 1, { ...sampling, ...shape });
  const generate_seconds = (performance.now() - generating) / 1000;
  const { peak_rss_bytes, weights_bytes } = await engine.memory();
  await engine.close();
  console.log(JSON.stringify({ load_seconds, read_bytes, loaded, generate_seconds, peak_rss_bytes, weights_bytes }));
} else {
  const parent = process.argv[2] ?? mkdtempSync(join(tmpdir(), "sightloop-3b-"));
  const folder = join(parent, "qwen2_5_vl_3b");
  try {
    const start = performance.now();
    if (!existsSync(folder))
      execFileSync(process.execPath, [main, "init", "--preset", "qwen2_5_vl_3b", "--output", folder], {
        stdio: "inherit",
      });
    const init_seconds = (performance.now() - start) / 1000;
    const file = join(folder, "model.safetensors");
    spawnSync("dd", [`if=${file}`, "iflag=nocache", "count=0", "status=none"]); // out of the page cache
    const file_bytes = statSync(file).size;
    const { status, stdout } = spawnSync(process.execPath, [import.meta.filename, "--load", folder], {
      stdio: ["ignore", "pipe", "inherit"],
      encoding: "utf8",
    });
    if (status !== 0) process.exitCode = 1;
    else {
      const seen = JSON.parse(stdout);
      const ratios = {
        peak_rss_over_file: seen.peak_rss_bytes / file_bytes,
        loaded_rss_over_file: seen.loaded / file_bytes,
        read_over_file: seen.read_bytes / file_bytes,
      };
      console.log(JSON.stringify({ cores: cpus().length, file_bytes, init_seconds, ...seen, ...ratios }, null, 1));
    }
  } finally {
    if (process.argv[2] === undefined) rmSync(parent, { recursive: true, force: true });
  }
}
