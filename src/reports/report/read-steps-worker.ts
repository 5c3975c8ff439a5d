import { on } from "node:events";
import { parentPort } from "node:worker_threads";
import { readSteps, type StepsTask } from "./read-steps.js";

for await (const [task] of on(parentPort!, "message")) parentPort!.postMessage(await readSteps(task as StepsTask));
