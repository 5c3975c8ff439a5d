import { dirname, resolve } from "node:path";
import { UserError } from "../errors.js";
import { callFunction, callService, type RewardFunction } from "./main-thread.js";
import { type Bundle, bundleModules } from "../modules/bundle.js";
import { moduleName, type ModuleRewardConfig } from "./modules/schema.js";
import type { Outcome } from "./outcome.js";
import { WorkerPool } from "./pool/pool.js";
import type { WorkerReward } from "./pool/protocol.js";
import { openService, type RewardConfig } from "./registry.js";
import type { OnError, RewardInput } from "./reward.js";

export interface WeightedReward {
  /** Key of the breakdown. */
  readonly name: string;
  readonly weight?: number;
  /** Absent: "fail". */
  readonly on_error?: OnError;
  readonly score: RewardFunction;
}

/** A reward as in a config; a function (its name names it, its weight is 1); or a function with name and weight. */
export type RewardSpec = RewardConfig | ModuleRewardConfig | RewardFunction | WeightedReward;

/** A reward, ready to be asked. */
export interface OpenReward {
  readonly name: string;
  readonly weight: number;
  readonly on_error: OnError;
  /** Where its score is not 0, that is the whole reward. */
  readonly replaces: boolean;
  /** @throws the signal's reason */
  readonly run: (input: RewardInput, signal: AbortSignal) => Promise<Outcome>;
}

export interface OpenRewardsOptions {
  /** Of one reward for one completion. */
  readonly timeout_ms: number;
  /** Worker threads at most. */
  readonly workers: number;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface OpenRewards extends AsyncDisposable {
  readonly rewards: readonly OpenReward[];
  /** The modules as they were compiled. */
  readonly modules: readonly Bundle[];
}

/** Enough to load a large library on a busy machine. */
const load_timeout_ms = 60_000;
const max_heap_mb = 512;

/** Functions and services run on the main thread, everything else in worker threads. */
export async function openRewards(specs: readonly RewardSpec[], options: OpenRewardsOptions): Promise<OpenRewards> {
  const names = specs.map(nameOf);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined)
    throw new UserError("CONFIG_INVALID", `two rewards are named "${twice}"`, "Give each its own name (label).");

  const modules = await bundleModules(
    specs.filter(isModule).map(({ module }) => resolve(module)),
    reward_module,
  );
  const computed: WorkerReward[] = [];
  const computed_names: string[] = [];
  const inWorker = (reward: WorkerReward, name: string): OpenReward["run"] => {
    const index = computed.push(reward) - 1;
    computed_names.push(name);
    return (input, signal) => pool.run(index, input, options.timeout_ms, signal);
  };
  const unused = [...modules];
  const rewards = specs.map((spec, i): OpenReward => {
    const name = names[i]!;
    if (isModule(spec)) {
      const { code, source_map, file, sha256 } = unused.shift()!;
      if (spec.sha256 !== undefined && spec.sha256 !== sha256) throw changed(file);
      const made = { kind: "module", name, code, source_map, folder: dirname(file), params: spec.params } as const;
      const run = inWorker(made, name);
      return { name, weight: spec.weight, on_error: spec.on_error, replaces: false, run };
    }
    if (typeof spec === "function" || "score" in spec) {
      const {
        weight = 1,
        on_error = "fail",
        score,
      }: Omit<WeightedReward, "name"> = typeof spec === "function" ? { score: spec } : spec;
      const run: OpenReward["run"] = (input, signal) => callFunction(score, input, options.timeout_ms, signal);
      return { name, weight, on_error, replaces: false, run };
    }
    const service = openService(spec, { label: name, env: options.env });
    return {
      name,
      weight: spec.weight,
      on_error: spec.on_error,
      replaces: spec.name === "no_eos" && spec.mode === "replace",
      run: service
        ? (input, signal) => callService(service, input, signal)
        : inWorker({ kind: "named", config: spec }, name),
    };
  });
  const limits = { size: options.workers, load_timeout_ms, max_heap_mb };
  const pool = new WorkerPool({ rewards: computed, names: computed_names, ...limits });
  try {
    if (modules.length > 0) await pool.start(); // shows a bad module before anything else is loaded
  } catch (error) {
    await pool[Symbol.asyncDispose]();
    throw error;
  }
  return { rewards, modules, [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose]() };
}

const changed = (file: string): UserError =>
  new UserError(
    "REWARD_INVALID",
    `reward module ${file}, or a file it imports, is not the one that the config's sha256 stands for`,
    "Go on with the file as it was, or start a new run without sha256.",
  );

const reward_module = {
  noun: "reward module",
  code: "REWARD_INVALID",
  hint: "Correct it; `sightloop rewards test <config>` tries it.",
} as const;

const isModule = (spec: RewardSpec): spec is ModuleRewardConfig => typeof spec === "object" && "module" in spec;

function nameOf(spec: RewardSpec, index: number): string {
  if (typeof spec === "function") return spec.name || `reward_${index + 1}`;
  if (isModule(spec)) return moduleName(spec);
  return "score" in spec ? spec.name : (spec.label ?? spec.name);
}
