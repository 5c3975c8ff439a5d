// One build at a time in one checkout: `npm test` and `npm run demo` in two terminals must not both run ninja in build/.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { buildFolder } from "./paths.mjs";
import { tell } from "./tell.mjs";

const file = join(buildFolder, "lock");

/** The process that holds the lock, or undefined when it is free or its holder is gone. */
function holder() {
  try {
    const pid = Number(readFileSync(file, "utf8"));
    process.kill(pid, 0);
    return pid;
  } catch {
    return undefined;
  }
}

/** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
export async function locked(work) {
  mkdirSync(buildFolder, { recursive: true });
  for (let waited = false; ; waited = true) {
    try {
      writeFileSync(file, String(process.pid), { flag: "wx" });
      break;
    } catch {
      const pid = holder();
      if (pid === undefined) rmSync(file, { force: true });
      else if (!waited) tell(`waiting for another build in this folder (process ${pid})`);
      await sleep(pid === undefined ? 50 : 500);
    }
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}
