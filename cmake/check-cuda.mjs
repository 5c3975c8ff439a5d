// npm run check:cuda: compiles and links everything for NVIDIA devices, in build-cuda/, on a machine that needs to have none.
// Then loads the addon and runs the C++ tests with it, on the CPU.
//   node cmake/check-cuda.mjs [doctest's own arguments]
import { createRequire } from "node:module";
import { join } from "node:path";
import { jobs } from "./build.mjs";
import { architectures, cudaSettings } from "./cuda.mjs";
import { findLibtorch } from "./libtorch.mjs";
import { run } from "./process.mjs";
import { SetupError, runScript, tell } from "./tell.mjs";
import { findTools } from "./tools.mjs";
import { buildTree } from "./tree.mjs";

await runScript(async () => {
  const { compiler, generator } = await findTools();
  const libtorch = await findLibtorch({ cuda: true });
  const folder = await buildTree({
    source: ".",
    tree: "build-cuda",
    generator,
    settings: {
      CMAKE_CXX_COMPILER: compiler,
      SIGHTLOOP_LIBTORCH: libtorch.folder,
      ...(await cudaSettings(libtorch, compiler)),
    },
    targets: ["sightloop", "native_tests"],
    jobs: jobs(),
  });
  const addon = createRequire(import.meta.url)(join(folder, "Release", "sightloop.node"));
  tell(`the addon loads: libtorch ${addon.libtorchVersion}, ${architectures()}, ${addon.cudaDevices()} devices here`);
  const { status } = await run(join(folder, "Release", "native_tests"), process.argv.slice(2), { show: true });
  if (status !== 0)
    throw new SetupError(`the C++ tests failed in the build with CUDA (${status})`, "The report above names the line.");
});
