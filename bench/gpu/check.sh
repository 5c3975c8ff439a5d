#!/usr/bin/env bash
# Everything that a GPU is needed for, on a machine with nvcc, cmake, ninja and a Python whose torch has CUDA; after
# `node bench/gpu/prepare.mjs` elsewhere. What it prints belongs into bench/LOG.md.   bash bench/gpu/check.sh [folder for results]
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${1:-${OUT:-gpu-check/out}}
mkdir -p "$out" gpu-check/bin
step() { printf '\n== %s (%s s since the start)\n' "$1" "$SECONDS"; }

step "unpack"
[ -x gpu-check/bin/node ] || { xz -dc gpu-check/node.xz > gpu-check/bin/node && chmod +x gpu-check/bin/node; }
[ -d node_modules ] || tar xJf gpu-check/app.tar.xz
export PATH=$PWD/gpu-check/bin:$PATH SIGHTLOOP_CUDA=1
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
nvcc --version | tail -2
python3 -c 'import torch; print("torch", torch.__version__)'

step "build"
node cmake/build.mjs || exit 1
node cmake/build.mjs --target native_tests || exit 1

step "doctor"
node dist/cli/main.js doctor

step "C++ tests, on the device where there is one to test"
build/Release/native_tests | tail -40
step "compute-sanitizer on the ops"
compute-sanitizer --error-exitcode 9 build/Release/native_tests -tc='on an NVIDIA device*' 2>&1 | tail -20

step "a model of Qwen2.5-VL-3B's shape"
model=/tmp/sightloop-3b
[ -f $model/model.safetensors ] || node dist/cli/main.js init --output $model --preset qwen2_5_vl_3b --dtype bfloat16
shape="--model $model --dtype bfloat16 --device cuda --image 448 --prompt-tokens 512 --completions 8 --new-tokens 512 --activation-checkpointing --steps 2"
for prompts in 8 32; do
  step "bench, $prompts prompts x 8"
  # shellcheck disable=SC2086
  timeout 240 node dist/cli/main.js bench $shape --prompts $prompts --json > "$out/bench-$prompts.json" &&
    timeout 60 node -e 'const r = JSON.parse(require("fs").readFileSync(process.argv[1])); for (const p of r.result.phases) console.log(p.name.padEnd(12), p.seconds.median.toFixed(3), "s", Math.round(p.tokens_per_second.completion), "completion tokens/s", p.share_of_limit?.toFixed(2) ?? "", p.share_of_bandwidth?.toFixed(2) ?? "")' "$out/bench-$prompts.json"
done

step "demo"
timeout 200 node dist/cli/main.js demo 2>&1 | tail -20
step "done"
