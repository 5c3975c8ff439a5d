import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, statfs } from "node:fs/promises";
import { availableParallelism, freemem, loadavg, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { UserError } from "../errors.js";
import { checkDevice } from "./check-device.js";
import { gib } from "./format.js";
import { package_folder } from "./init-model.js";
import { smokeStep } from "./smoke-step.js";

/** ok; warning: works, but look at it; broken: sightloop cannot do its work until it is mended. */
type Status = "ok" | "warning" | "broken";

export interface Finding {
  readonly name: string;
  readonly status: Status;
  readonly detail: string;
  /** What to do; absent if all is well. */
  readonly fix?: string;
}

/** Prints what is found, and returns whether everything needed works. */
export async function doctor({ json }: { readonly json: boolean }): Promise<boolean> {
  const findings: Finding[] = [];
  const report = (finding: Finding): void => {
    findings.push(finding);
    if (json) return;
    const mark = { ok: "ok     ", warning: "warning", broken: "BROKEN " }[finding.status];
    console.log(`${mark}  ${finding.name.padEnd(10)}  ${finding.detail}`);
    if (finding.fix !== undefined) console.log(`${" ".repeat(21)}fix: ${finding.fix}`);
  };
  report(checkNode());
  const smoke = await checkSmokeStep();
  const works = smoke.every(({ status }) => status !== "broken");
  for (const finding of await checkBuildTools(works)) report(finding);
  report(await checkLibtorch(works));
  smoke.forEach(report);
  if (works) report(checkDevice());
  report(checkThreads());
  report(checkMemory());
  report(await checkDisk());
  const broken = findings.filter(({ status }) => status === "broken");
  if (json) console.log(JSON.stringify(findings, null, 2));
  else
    console.log(
      broken.length === 0 ? "\nEverything needed works." : `\n${broken.length} to mend: see the lines marked BROKEN.`,
    );
  return broken.length === 0;
}

function checkNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const detail = `${process.versions.node} on ${process.platform} ${process.arch}`;
  if (major < 20 || (major === 20 && minor < 19))
    return { name: "node", status: "broken", detail, fix: "Install Node 20.19 or newer (20, 22 and 24 are tested)." };
  if (process.platform !== "linux" || process.arch !== "x64")
    return { name: "node", status: "warning", detail, fix: "Only Linux on x86-64 is tested; others may build." };
  return { name: "node", status: "ok", detail };
}

interface BuildScripts {
  readonly findPython: () => Promise<string | undefined>;
  readonly findTools: () => Promise<{ readonly compiler: string; readonly generator: string }>;
  readonly run: (program: string, args: readonly string[]) => Promise<{ readonly output: string }>;
  readonly inspect: (folder: string, source: string) => { readonly version: string; readonly cuda: boolean } | string;
}

/** The package's own build scripts know what a build needs; one that cannot be loaded is left out. */
async function buildScripts(): Promise<BuildScripts> {
  const names = ["python.mjs", "tools.mjs", "process.mjs", "libtorch.mjs"];
  const modules = await Promise.all(
    names.map((name) => import(pathToFileURL(join(package_folder, "cmake", name)).href) as Promise<object>),
  );
  return Object.assign({}, ...modules) as BuildScripts;
}

/** They are needed to build the addon, not to run it: without them a working addon goes on working. */
async function checkBuildTools(works: boolean): Promise<readonly Finding[]> {
  const missing = works ? "warning" : "broken";
  const scripts = await buildScripts();
  const python = await scripts.findPython();
  const findings: Finding[] = [
    python === undefined
      ? {
          name: "python",
          status: "warning",
          detail: "not found",
          fix: "Needed only to obtain libtorch by pip: install Python 3, or set LIBTORCH.",
        }
      : { name: "python", status: "ok", detail: (await scripts.run(python, ["--version"])).output.trim() },
  ];
  try {
    const { compiler, generator } = await scripts.findTools();
    const first = async (program: string) => (await scripts.run(program, ["--version"])).output.split("\n")[0]!.trim();
    findings.push({ name: "compiler", status: "ok", detail: await first(compiler) });
    findings.push({ name: "cmake", status: "ok", detail: `${await first("cmake")}, ${generator}` });
  } catch (error) {
    const { message, hint } = error as { message: string; hint?: string };
    findings.push({ name: "compiler", status: missing, detail: message, fix: hint ?? "Install g++ and cmake." });
  }
  return findings;
}

async function checkLibtorch(works: boolean): Promise<Finding> {
  const name = "libtorch";
  const stamp = join(package_folder, "build", "stamps", "sightloop.json");
  if (!existsSync(stamp))
    return works
      ? { name, status: "ok", detail: "as the addon was linked (no build record)" }
      : {
          name,
          status: "broken",
          detail: "the addon was never built here",
          fix: `Run \`npm run build\` in ${package_folder}`,
        };
  const { libtorch = "" } = JSON.parse(await readFile(stamp, "utf8")) as { libtorch?: string };
  const found = (await buildScripts()).inspect(libtorch, "the last build");
  if (typeof found === "string")
    return {
      name,
      status: "broken",
      detail: found,
      fix: "It moved or was removed after the build: run `npm run build` again.",
    };
  return { name, status: "ok", detail: `${found.version}${found.cuda ? " (CUDA build)" : ""} in ${libtorch}` };
}

/** Loads the addon and trains a tiny random model for one step: the whole way, in a second or two. */
async function checkSmokeStep(): Promise<readonly Finding[]> {
  const folder = await mkdtemp(join(tmpdir(), "sightloop-doctor-"));
  try {
    const detail = await smokeStep(folder);
    return [
      { name: "addon", status: "ok", detail: "loads" },
      { name: "smoke step", status: "ok", detail },
    ];
  } catch (error) {
    const built = error instanceof UserError && error.code === "ADDON_NOT_BUILT";
    return [
      {
        name: built ? "addon" : "smoke step",
        status: "broken",
        detail: error instanceof Error ? error.message : String(error),
        fix: error instanceof UserError ? error.hint : `Report it with this stack: ${(error as Error).stack}`,
      },
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function checkThreads(): Finding {
  const cores = availableParallelism();
  const busy = loadavg()[0]!;
  const omp = process.env["OMP_NUM_THREADS"];
  const detail = `${cores} cores, load ${busy.toFixed(1)}${omp === undefined ? "" : `, OMP_NUM_THREADS=${omp}`}`;
  if (busy > 0.5 * cores)
    return {
      name: "threads",
      status: "warning",
      detail,
      fix: "Other processes use the cores; a training beside them is slower.",
    };
  return { name: "threads", status: "ok", detail };
}

function checkMemory(): Finding {
  const limit = process.constrainedMemory();
  const total = limit > 0 && limit < totalmem() ? limit : totalmem();
  const detail = `${gib(Math.min(freemem(), total))} free of ${gib(total)}`;
  if (total < 2 * 2 ** 30)
    return { name: "memory", status: "warning", detail, fix: "The demo needs about 1 GiB, a build 2 GiB per core." };
  return { name: "memory", status: "ok", detail };
}

async function checkDisk(): Promise<Finding> {
  const { bavail, bsize } = await statfs(process.cwd());
  const detail = `${gib(bavail * bsize)} free in ${process.cwd()}`;
  if (bavail * bsize < 2 ** 30)
    return {
      name: "disk",
      status: "warning",
      detail,
      fix: "A run folder with checkpoints may need more: free some space.",
    };
  return { name: "disk", status: "ok", detail };
}
