import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { parse, stringify } from "yaml";

/** Keys that may differ when a run is resumed: they do not change what the steps so far have computed. */
const harmless = [
  "steps",
  "epochs",
  "run_folder",
  "threads",
  "checkpoint",
  "evaluate",
  "health",
  "parity",
  "image_cache_bytes",
  "prefetch_images",
  "activation_checkpointing",
  "shard_optimizer",
  "shard_parameters",
  "optimizer.offload",
  "reference.offload",
  "reward_timeout_ms",
  "reward_workers",
  "trackers",
  "datasets.validation",
  "datasets.test",
  "datasets.tests",
];

const isHarmless = (path: string): boolean => harmless.some((key) => path === key || path.startsWith(`${key}.`));

export const configYaml = (config: object): string =>
  `# The resolved config of this run: every value, defaults included.\n${stringify(plain(config))}`;

/** As YAML would read it back: undefined keys and functions are gone. */
const plain = (config: object): unknown => JSON.parse(JSON.stringify(config)) as unknown;

/** Of the keys that matter for a resume. */
export function configHash(config: object): string {
  const kept = [...flatten(plain(config))].filter(([path]) => !isHarmless(path)).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(kept)).digest("hex").slice(0, 16);
}

/** Keys that differ and must not, as "key: old -> new". */
export function differingKeys(old_yaml: string, config: object): readonly string[] {
  const before = new Map(flatten(parse(old_yaml)));
  const after = new Map(flatten(plain(config)));
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((path) => !isHarmless(path) && !isDeepStrictEqual(before.get(path), after.get(path)))
    .sort()
    .map((path) => `${path}: ${show(before.get(path))} -> ${show(after.get(path))}`);
}

const show = (value: unknown): string => (value === undefined ? "(absent)" : JSON.stringify(value));

/** Leaves of a config as [dotted path, value]. */
export function* flatten(value: unknown, path = ""): Generator<[string, unknown]> {
  if (typeof value === "object" && value !== null && Object.keys(value).length > 0)
    for (const [key, item] of Object.entries(value)) yield* flatten(item, path === "" ? key : `${path}.${key}`);
  else yield [path, value];
}
