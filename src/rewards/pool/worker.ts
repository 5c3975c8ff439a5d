import { SourceMap, type SourceMapPayload } from "node:module";
import { resolve } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import type { RewardModule } from "../modules/define.js";
import { show } from "../outcome.js";
import { rewardFunction } from "../registry.js";
import type { RewardInput } from "../reward.js";
import type { Reply, Task, Thrown, WorkerReward } from "./protocol.js";

/** A worker thread: loads the rewards it was given, then computes one task at a time. */

type Score = (input: RewardInput) => unknown;

const rewards = (workerData as { readonly rewards: readonly WorkerReward[] }).rewards;
const post = (reply: Reply): void => parentPort!.postMessage(reply);

async function load(reward: WorkerReward): Promise<Score> {
  if (reward.kind === "named") return rewardFunction(reward.config);
  const url = `data:text/javascript;base64,${Buffer.from(reward.code).toString("base64")}`;
  const { default: found } = (await import(url)) as {
    default?: RewardModule<unknown> | RewardModule<unknown>["score"];
  };
  const { params, score } = typeof found === "function" ? { params: undefined, score: found } : (found ?? {});
  if (found === undefined) throw new Error("has no default export; write `export default defineReward({ score })`");
  if (typeof score !== "function")
    throw new Error("its default export is neither a function nor has it a function `score`");
  const checked = params === undefined ? reward.params : parsed(params, reward.params);
  return (input) => score(input, checked);
}

function parsed(schema: { parse(given: unknown): unknown }, given: unknown): unknown {
  try {
    return schema.parse(given);
  } catch (error) {
    const { issues } = error as { issues?: { path?: PropertyKey[]; message?: string }[] }; // zod's
    if (!Array.isArray(issues)) throw error;
    const lines = issues.map(({ path = [], message }) => `${["params", ...path].map(String).join(".")}: ${message}`);
    throw new Error(lines.join("; "), { cause: error });
  }
}

/** What was thrown, and where in the user's files: the stack's first line that lies in the module. */
function thrown(error: unknown, reward: WorkerReward): Thrown {
  const message = show(error instanceof Error ? `${error.name}: ${error.message}` : error).replace(/^"(.*)"$/s, "$1");
  if (reward.kind !== "module" || !(error instanceof Error)) return { message, place: undefined };
  const at = /data:[^)\s]*:(\d+):(\d+)/.exec(error.stack ?? "");
  if (at === null) return { message, place: undefined };
  const map = new SourceMap(JSON.parse(reward.source_map) as SourceMapPayload);
  const entry = map.findEntry(Number(at[1]) - 1, Number(at[2]) - 1);
  if (!("originalSource" in entry)) return { message, place: undefined };
  const file = resolve(reward.folder, entry.originalSource);
  return { message, place: `${file}:${entry.originalLine + 1}:${entry.originalColumn + 1}` };
}

async function compute(scores: readonly Score[], { reward, input }: Task): Promise<void> {
  try {
    const value = await scores[reward]!(input);
    post({ type: "returned", value: typeof value === "number" ? value : undefined, shown: show(value) });
  } catch (error) {
    post({ type: "threw", ...thrown(error, rewards[reward]!) });
  }
}

// What a module prints must not mix with what the program prints.
process.stdout.write = process.stderr.write.bind(process.stderr);

const scores: Score[] = [];
let is_usable = true;
for (const [i, reward] of rewards.entries()) {
  try {
    scores.push(await load(reward));
  } catch (error) {
    post({ type: "unusable", reward: i, ...thrown(error, reward) });
    is_usable = false;
    break;
  }
}
if (is_usable) {
  parentPort!.on("message", (task: Task) => void compute(scores, task));
  post({ type: "ready" });
}
