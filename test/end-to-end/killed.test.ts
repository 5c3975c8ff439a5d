/**
 * kill -9 at any moment, saves included: what was saved is whole, and a resumed run ends with the bits of one that was
 * never killed. The kills follow one another along one run; SIGHTLOOP_KILLS=apart gives each a run of its own.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, watch } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, expect, test } from "vitest";
import { below, pick, type Random, randomOf } from "../helpers/mutate.js";
import { hashes, reproducibleMetrics, type Rows, workspace, writeRows } from "./support.js";

const num_kills = 20;
const place = workspace();
let data: Rows;

const request = (run_folder: string, resume: boolean) => ({
  ...{ model: place.model, run_folder, resume, steps: 6, threads: 1 },
  ...{ prompts_per_step: 2, completions_per_prompt: 4, completions_per_update: 4, seed: 5 },
  dataset: data,
  datasets: { validation: data },
  evaluate: { every_steps: 3, max_items: 2, before_training: false, settings: [{ name: "t1", temperature: 1 }] },
  sampling: { max_completion_tokens: 5 },
  algorithm: { name: "grpo", kl_loss_coefficient: 0.01 },
  optimizer: { learning_rate: 1e-3, warmup_steps: 1 },
  checkpoint: { every_steps: 1, keep_last: 2 },
});

/** Decides when a process dies: resolves at that moment. */
type Moment = (run_folder: string, lines: AsyncIterator<string>) => Promise<void>;

const moments: Readonly<Record<string, (random: Random) => Moment>> = {
  "while starting": (random) => () => sleep(below(random, 600)),
  "some time after an event": (random) => {
    const [count, wait] = [1 + below(random, 40), below(random, 40)];
    return async (_, lines) => {
      for (let i = 0; i < count && (await lines.next()).done !== true; i++);
      await sleep(wait);
    };
  },
  "while a file is written": (random) => {
    const [count, wait] = [below(random, 25), pick(random, [0, 0, 1, 3, 10])];
    return async (run_folder, lines) => {
      await lines.next(); // the folder is there
      let seen = 0;
      const watcher = watch(run_folder, { recursive: true });
      const ended = (async () => {
        while ((await lines.next()).done !== true);
      })();
      const written = new Promise<void>((resolve) => watcher.on("change", () => seen++ === count && resolve()));
      await Promise.race([written, ended]);
      watcher.close();
      await sleep(wait);
    };
  },
  "while a checkpoint is saved": (random) => {
    const [count, wait] = [1 + below(random, 2), below(random, 12)];
    return async (run_folder, lines) => {
      let seen = 0;
      for (;;) {
        const next = await lines.next();
        if (next.done === true) return;
        if ((JSON.parse(next.value) as { type: string }).type !== "step" || ++seen < count) continue;
        for (let i = 0; i < 2000 && !saving(run_folder); i++) await sleep(1);
        return sleep(wait);
      }
    };
  },
};

const saving = (run_folder: string): boolean =>
  existsSync(`${run_folder}/checkpoints`) &&
  readdirSync(`${run_folder}/checkpoints`).some((name) => name.startsWith(".tmp-"));

/** Trains, from the last checkpoint if there is a run, until the moment comes. Returns the last event, if it lives to it. */
async function trainUntil(run_folder: string, moment?: Moment): Promise<{ type: string; [key: string]: unknown }> {
  const resume = existsSync(`${run_folder}/config.yaml`);
  const child = spawn(process.execPath, ["test/helpers/train.mjs", JSON.stringify(request(run_folder, resume))]);
  child.stderr.pipe(process.stderr);
  const closed = once(child, "close");
  let last = "";
  const all = createInterface({ input: child.stdout });
  all.on("line", (line) => (last = line));
  const lines = all[Symbol.asyncIterator]();
  if (moment !== undefined) {
    await moment(run_folder, lines);
    child.kill("SIGKILL");
  }
  await closed;
  return JSON.parse(last || '{"type":"nothing"}') as { type: string };
}

/** Weights, moments, rollouts and images; not what names paths, times or this machine. */
const results = (folder: string) =>
  hashes(folder, /(^|\/)(config\.yaml|manifest.*\.json|metrics\.jsonl|cursor\.json)$/);
const names = (folder: string) => Object.keys(hashes(folder, /^manifest-resumed-\d+\.json$/));

beforeAll(async () => {
  data = await writeRows(place.folder);
  expect(await trainUntil(place.path("whole"))).toMatchObject({ type: "done", step: 6 });
});

async function expectWhole(folder: string): Promise<void> {
  expect(await trainUntil(folder)).toMatchObject({ type: "done", step: 6 });
  expect(results(folder)).toEqual(results(place.path("whole")));
  expect(names(folder)).toEqual(names(place.path("whole")));
  expect(await reproducibleMetrics(folder)).toEqual(await reproducibleMetrics(place.path("whole")));
}

const kinds = Object.keys(moments);
const kill = async (number: number, folder: string): Promise<void> => {
  const last = await trainUntil(folder, moments[kinds[number % kinds.length]!]!(randomOf(number)));
  expect(last, `kill ${number}, ${kinds[number % kinds.length]}`).not.toMatchObject({ type: "failed" });
};

if (process.env["SIGHTLOOP_KILLS"] === "apart")
  test.each(Array.from({ length: num_kills }, (_, number) => number))(
    "kill %d, in a run of its own",
    async (number) => {
      await kill(number, place.path(`killed-${number}`));
      await expectWhole(place.path(`killed-${number}`));
    },
  );
else
  test(`${num_kills} kills along one run`, { timeout: 600_000 }, async () => {
    for (let number = 0; number < num_kills; number++) await kill(number, place.path("killed"));
    await expectWhole(place.path("killed"));
  });
