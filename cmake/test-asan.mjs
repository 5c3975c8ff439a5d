// npm run test:asan: the C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer, built in build-asan/.
//   node cmake/test-asan.mjs [doctest's own arguments, as -tc="*rope*"]
// Our code is instrumented, libtorch is not: its reads and writes inside our buffers go unseen, its allocations do not
// (they come from the sanitizer's malloc). What it is known to do is suppressed in test/native/sanitizers/, with reasons.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { jobs } from "./build.mjs";
import { findLibtorch } from "./libtorch.mjs";
import { root } from "./paths.mjs";
import { SetupError, runScript } from "./tell.mjs";
import { findTools } from "./tools.mjs";
import { buildTree } from "./tree.mjs";

const suppressions = (/** @type {string} */ name) => join(root, "test", "native", "sanitizers", `${name}.supp`);

await runScript(async () => {
  const { compiler, generator } = await findTools();
  const libtorch = await findLibtorch();
  const folder = await buildTree({
    source: ".",
    tree: "build-asan",
    generator,
    settings: { CMAKE_CXX_COMPILER: compiler, SIGHTLOOP_LIBTORCH: libtorch.folder, SIGHTLOOP_SANITIZE: "ON" },
    targets: ["native_tests"],
    jobs: jobs(),
  });
  const child = spawn(join(folder, "Release", "native_tests"), process.argv.slice(2), {
    stdio: "inherit",
    env: {
      ...process.env,
      ASAN_OPTIONS: "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:abort_on_error=0",
      LSAN_OPTIONS: `suppressions=${suppressions("leaks")}:print_suppressions=0`,
      UBSAN_OPTIONS: `suppressions=${suppressions("undefined")}:print_stacktrace=1`,
    },
  });
  const status = await new Promise((resolve) => child.on("close", (code, signal) => resolve(code ?? signal)));
  if (status !== 0)
    throw new SetupError(
      `the C++ tests failed under the sanitizers (${status})`,
      "The report above names the line; a single case runs by npm run test:asan -- -tc='name*'.",
    );
});
