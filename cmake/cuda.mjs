// Whether a build is for NVIDIA devices, and what it needs for that.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { run } from "./process.mjs";
import { SetupError, tell } from "./tell.mjs";

/** Whether an NVIDIA driver is on this machine. */
export const hasDriver = () => existsSync("/proc/driver/nvidia/version");

/** `--cuda` and `--no-cuda` of a command line stand above the environment. @param {readonly string[]} argv */
export function noteCudaFlags(argv) {
  if (argv.includes("--cuda")) process.env.SIGHTLOOP_CUDA = "1";
  if (argv.includes("--no-cuda")) process.env.SIGHTLOOP_CUDA = "0";
}

/** Whether to build for NVIDIA devices: as SIGHTLOOP_CUDA says (1 or 0), else where there is a driver and a compiler. */
export async function wantsCuda() {
  const asked = process.env.SIGHTLOOP_CUDA;
  if (asked === "1" || asked === "0") return asked === "1";
  if (asked !== undefined && asked !== "")
    throw new SetupError(`SIGHTLOOP_CUDA is '${asked}'`, "Set it to 1 or 0, or unset it.");
  if (!hasDriver()) return false;
  const nvcc = await findNvcc();
  if (!nvcc)
    tell(
      "an NVIDIA driver is here, but no nvcc: building for the CPU. Install the CUDA toolkit, or set CUDACXX, to use the device.",
    );
  return nvcc !== undefined;
}

/** The CUDA compiler: CUDACXX, nvcc on PATH, or the toolkit's usual place. @returns {Promise<string | undefined>} */
export async function findNvcc() {
  const candidates = [process.env.CUDACXX, "nvcc", join(process.env.CUDA_HOME ?? "/usr/local/cuda", "bin", "nvcc")];
  for (const program of candidates) if (program && (await run(program, ["--version"])).status === 0) return program;
  return undefined;
}

/** Architectures to compile for, as CMake writes them: those of SIGHTLOOP_CUDA_ARCHITECTURES, this machine's, or an H100's. */
export const architectures = () => process.env.SIGHTLOOP_CUDA_ARCHITECTURES ?? (hasDriver() ? "native" : "90-real");

/**
 * CMake's settings for a build with CUDA. @param {import("./libtorch.mjs").Libtorch} libtorch @param {string} compiler
 * @returns {Promise<Record<string, string>>}
 */
export async function cudaSettings(libtorch, compiler) {
  const nvcc = await findNvcc();
  if (!nvcc)
    throw new SetupError(
      "no nvcc found: it compiles what runs on NVIDIA devices",
      "Install the CUDA toolkit (its major version should be libtorch's), or name its compiler: CUDACXX=/path/to/nvcc. A build without --cuda needs none.",
    );
  if (!libtorch.cuda)
    throw new SetupError(
      `libtorch ${libtorch.version} in ${libtorch.folder} was built without CUDA`,
      "Name one that was: LIBTORCH=/path/to/torch, of a Python whose torch has CUDA. A build without --cuda takes any.",
    );
  return {
    SIGHTLOOP_CUDA: "ON",
    CMAKE_CUDA_COMPILER: nvcc,
    CMAKE_CUDA_HOST_COMPILER: compiler,
    CMAKE_CUDA_ARCHITECTURES: architectures(),
  };
}
