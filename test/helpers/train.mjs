// A process that trains as its argument, a request in JSON, says, and prints a line for every event. The reward is for
// short completions: a random model never answers right. Runs on dist/.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const { train } = await import(pathToFileURL(resolve("dist/index.js")).href);
const short = { name: "short", score: (/** @type {{ token_count: number }} */ { token_count }) => -token_count };

try {
  for await (const event of train({ ...JSON.parse(process.argv[2] ?? ""), rewards: [short] }))
    console.log(JSON.stringify(event));
} catch (error) {
  const { code, message, hint, stack } = /** @type {any} */ (error);
  console.log(JSON.stringify({ type: "failed", code, message, hint, stack }));
  process.exitCode = code === undefined ? 1 : 2;
}
