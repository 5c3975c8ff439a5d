// npm's install step: builds the addon, for a fresh clone (`npm ci`) as for a project that depends on sightloop.
// SIGHTLOOP_SKIP_BUILD=1 leaves it out (setup.mjs builds it itself).
import { buildNative } from "./build.mjs";
import { runScript } from "./tell.mjs";

await runScript(async () => {
  if (process.env.SIGHTLOOP_SKIP_BUILD !== "1") await buildNative("sightloop");
});
