// npm's install step: builds the addon, for a fresh clone (`npm ci`) as for a project that depends on sightloop.
import { buildNative } from "./build.mjs";
import { runScript } from "./tell.mjs";

await runScript(async () => {
  await buildNative("sightloop");
});
