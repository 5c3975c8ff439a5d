import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { arch, availableParallelism, cpus, hostname, platform, release, totalmem } from "node:os";
import { promisify } from "node:util";

/** What is needed, besides the config, to know how a run came about. */
export interface Manifest {
  readonly sightloop: string;
  readonly node: string;
  readonly started_at: string;
  readonly seed: number;
  readonly machine: {
    readonly host: string;
    readonly system: string;
    readonly cpu: string;
    readonly cores: number;
    readonly memory_bytes: number;
  };
  /** Of the working directory; null outside a repository. */
  readonly git: { readonly commit: string; readonly dirty: boolean } | null;
  /** What the caller adds: model, dataset sizes, versions of libraries. */
  readonly [key: string]: unknown;
}

export async function packageVersion(): Promise<string> {
  const package_json = new URL("../../package.json", import.meta.url);
  return (JSON.parse(await readFile(package_json, "utf8")) as { version: string }).version;
}

export async function manifest(seed: number, extra: Readonly<Record<string, unknown>> = {}): Promise<Manifest> {
  return {
    sightloop: await packageVersion(),
    node: process.versions.node,
    started_at: new Date().toISOString(),
    seed,
    machine: {
      host: hostname(),
      system: `${platform()} ${release()} ${arch()}`,
      cpu: cpus()[0]?.model.trim() ?? "unknown",
      cores: availableParallelism(),
      memory_bytes: totalmem(),
    },
    git: await gitState(),
    ...extra,
  };
}

async function gitState(): Promise<Manifest["git"]> {
  const git = async (...args: string[]) => (await promisify(execFile)("git", args, { timeout: 5_000 })).stdout.trim();
  try {
    return { commit: await git("rev-parse", "HEAD"), dirty: (await git("status", "--porcelain")) !== "" };
  } catch {
    return null; // no git, or no repository
  }
}
