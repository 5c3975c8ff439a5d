// The programs a native build needs: a C++20 compiler, cmake, and ninja or make.
import { SetupError } from "./tell.mjs";
import { run } from "./process.mjs";

const oldestCmake = { major: 3, minor: 22, text: "3.22" };
const oldestCompiler = { gcc: 11, clang: 14 };
const install =
  "On Debian or Ubuntu: apt-get install g++ cmake ninja-build. On Fedora: dnf install gcc-c++ cmake ninja-build.";

/**
 * A compiler's kind and major version, or undefined when it does not run.
 * @param {string} program
 */
async function compilerVersion(program) {
  const { status, output } = await run(program, ["--version"]);
  if (status !== 0) return undefined;
  const clang = /clang version (\d+)/.exec(output);
  if (clang) return { kind: /** @type {const} */ ("clang"), major: Number(clang[1]) };
  const gcc = await run(program, ["-dumpfullversion", "-dumpversion"]);
  return { kind: /** @type {const} */ ("gcc"), major: Number.parseInt(gcc.output, 10) };
}

/** The first C++20 compiler of CXX (alone, if set), c++, g++, clang++. @returns {Promise<string>} */
async function findCompiler() {
  const candidates = process.env.CXX ? [process.env.CXX] : ["c++", "g++", "clang++"];
  const seen = [];
  for (const program of candidates) {
    const version = await compilerVersion(program);
    if (!version) continue;
    if (version.major >= oldestCompiler[version.kind]) return program;
    seen.push(`${program} is ${version.kind} ${version.major}`);
  }
  const wanted = "g++ 11 or newer, or clang++ 14 or newer";
  if (process.env.CXX && seen.length === 0)
    throw new SetupError(
      `the C++ compiler named by CXX, '${process.env.CXX}', does not run`,
      `Set CXX to ${wanted}, or unset it.`,
    );
  throw new SetupError(
    seen.length > 0
      ? `the C++ compiler is too old for C++20: ${seen.join(", ")}`
      : `no C++ compiler found (looked for ${candidates.join(", ")} on PATH)`,
    `Install ${wanted}, or set CXX to one. ${install}`,
  );
}

/** Checks cmake and its version. */
async function checkCmake() {
  const { status, output } = await run("cmake", ["--version"]);
  if (status !== 0)
    throw new SetupError(
      "cmake not found on PATH; it builds the native addon",
      `Install cmake ${oldestCmake.text} or newer. ${install}`,
    );
  const [major = 0, minor = 0] = (/version (\d+)\.(\d+)/.exec(output)?.slice(1) ?? []).map(Number);
  if (major < oldestCmake.major || (major === oldestCmake.major && minor < oldestCmake.minor))
    throw new SetupError(
      `cmake on PATH is ${major}.${minor}, and ${oldestCmake.text} or newer is needed`,
      `Install a newer one: pip install cmake. ${install}`,
    );
}

/** CMake's generator: Ninja where it is there, else make. @returns {Promise<string>} */
async function findGenerator() {
  if ((await run("ninja", ["--version"])).status === 0) return "Ninja";
  if ((await run("make", ["--version"])).status === 0) return "Unix Makefiles";
  throw new SetupError(
    "neither ninja nor make found on PATH; one of them runs the native build",
    `Install one of them. ${install}`,
  );
}

/** All of them, or a SetupError naming the first that is missing. */
export async function findTools() {
  const compiler = await findCompiler();
  await checkCmake();
  return { compiler, generator: await findGenerator() };
}
