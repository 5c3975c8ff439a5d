// Obtains libtorch from the Python package `torch`: downloads the wheel with pip as the user has configured it (no index is
// named here) and unpacks the parts that a build needs into our cache folder. No virtual environment, no other package.
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { run } from "./process.mjs";
import { findPython } from "./python.mjs";
import { SetupError, seconds, tell } from "./tell.mjs";

/** On Linux the package index serves CUDA builds; one that serves CPU builds may have a CUDA build of another version. */
const versions = { cpu: "2.13.0", cuda: "2.14.1" };
const manually =
  "Or name an installed libtorch 2.11 to 2.14: LIBTORCH=/path/to/torch, the folder that holds lib/ and include/.";

/** SIGHTLOOP_CACHE, else sightloop in the user's cache folder. */
export function cacheFolder() {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  return process.env.SIGHTLOOP_CACHE || join(base, "sightloop");
}

/**
 * Unpacks the build's parts of every wheel in argv[1] below argv[2]; prints the requirements of the CUDA runtime, if any, and
 * with argv[3] "cuda" those of all CUDA libraries.
 */
const unpack = `
import glob, re, sys, zipfile
cuda = sys.argv[3] == "cuda"
parts = ("torch/lib/", "torch/include/", "torch/share/cmake/", "torch/version.py", "nvidia/")
for wheel in glob.glob(sys.argv[1] + "/*.whl"):
    archive = zipfile.ZipFile(wheel)
    names = [n for n in archive.namelist() if n.startswith(parts)]
    archive.extractall(sys.argv[2], names)
    for name in archive.namelist():
        if name.startswith("torch-") and name.endswith(".dist-info/METADATA"):
            for line in archive.read(name).decode().splitlines():
                toolkit = re.match(r"Requires-Dist: (cuda-toolkit)(\\[.*?\\])(==[0-9.]+)", line)
                library = re.match(r"Requires-Dist: (nvidia-[a-z0-9-]+==[0-9.]+)", line)
                needed = library and (cuda or re.match(r"nvidia-cuda-(runtime|cupti)-", library[1]))
                if toolkit: print("requires cuda-toolkit" + (toolkit[2] if cuda else "[cudart,cupti]") + toolkit[3])
                if needed: print("requires " + library[1])
`;

/** What a failed pip says about the network, where that is the reason; else its last error. @param {string} output */
function pipReason(output) {
  const network =
    /(Connection refused|timed out|Name or service not known|name resolution|Network is unreachable|403 Forbidden)/;
  const connection = network.exec(output)?.[1];
  if (connection) return { network: true, text: `: no package index reached (${connection})` };
  const error = output.split("\n").findLast((line) => line.startsWith("ERROR"));
  return { network: false, text: error ? `: ${error}` : "" };
}

/**
 * Downloads wheels. @param {string} python @param {string[]} requirements @param {string[]} flags @param {string} folder
 */
async function pipDownload(python, requirements, flags, folder) {
  const always = ["--only-binary=:all:", "--retries", "1", "--disable-pip-version-check", "-d", folder];
  const download = (/** @type {string[]} */ more) =>
    run(python, ["-m", "pip", "download", ...always, ...flags, ...more, ...requirements], {
      show: process.stderr.isTTY === true, // pip's own progress bar: a wheel can be 900 MB
    });
  let result = await download([]);
  // The libraries are the same for every Python: a wheel made for another version will do.
  if (result.status !== 0 && !pipReason(result.output).network) result = await download(["--python-version", "3.11"]);
  if (result.status === 0) return;
  throw new SetupError(
    `pip could not download ${requirements.join(" ")}${pipReason(result.output).text}`,
    `Check the network and pip's settings (${python} -m pip config list; a proxy or mirror belongs there), then run this again.\n${manually}`,
  );
}

/** @returns {Promise<string>} a Python that has pip */
async function pythonWithPip() {
  const python = await findPython();
  const what = "no libtorch found, and to obtain it (pip download torch)";
  if (!python)
    throw new SetupError(
      `${what} python3 is needed: there is none on PATH`,
      `Install Python 3 with pip (apt-get install python3 python3-pip). ${manually}`,
    );
  if ((await run(python, ["-m", "pip", "--version"])).status !== 0)
    throw new SetupError(
      `${what} pip is needed: ${python} has none`,
      `Install it (apt-get install python3-pip, or ${python} -m ensurepip). ${manually}`,
    );
  return python;
}

/** @param {string} python @param {string} wheels @param {string} target @param {boolean} cuda @returns {Promise<string[]>} requirements */
async function unpackWheels(python, wheels, target, cuda) {
  const { status, output } = await run(python, ["-c", unpack, wheels, target, cuda ? "cuda" : "cpu"]);
  if (status !== 0)
    throw new SetupError(
      `could not unpack libtorch into ${target}: ${output.trim().split("\n").at(-1)}`,
      `Make room on that disk (${cuda ? 9 : 2} GB), or set SIGHTLOOP_CACHE to a folder with more.`,
    );
  return output.split("\n").flatMap((line) => (line.startsWith("requires ") ? [line.slice(9)] : []));
}

/**
 * The cached copy, downloaded first if it is not there. A wheel built with CUDA needs two small CUDA libraries even when only
 * its CPU part is used, and all of them for its CUDA part; they are put beside it, in the layout its own search path expects.
 * @param {(folder: string, source: string) => import("./libtorch.mjs").Libtorch | string} inspect
 * @param {{ cuda: boolean }} options
 * @returns {Promise<import("./libtorch.mjs").Libtorch>}
 */
export async function downloadedLibtorch(inspect, { cuda }) {
  const wanted = cuda ? versions.cuda : versions.cpu;
  const cache = cacheFolder();
  const home = join(cache, `libtorch-${wanted}${cuda ? "-cuda" : ""}-${process.platform}-${process.arch}`);
  const source = "the cache folder";
  if (existsSync(home)) {
    const cached = inspect(join(home, "torch"), source);
    if (typeof cached !== "string") return cached;
    tell(`${cached}; obtaining it again`);
    rmSync(home, { recursive: true, force: true });
  }

  const python = await pythonWithPip();
  const start = Date.now();
  let work;
  try {
    mkdirSync(cache, { recursive: true });
    work = mkdtempSync(join(cache, "partial-"));
  } catch (error) {
    throw new SetupError(
      `cannot write the cache folder ${cache}: ${/** @type {Error} */ (error).message}`,
      "Set SIGHTLOOP_CACHE to a folder that can be written.",
    );
  }
  try {
    tell(
      `obtaining libtorch ${wanted} with pip, once, into ${cache} (${cuda ? "2.7" : "0.2 to 0.9"} GB to download) ...`,
    );
    const wheels = join(work, "wheels");
    const tree = join(work, "tree");
    await pipDownload(python, [`torch==${wanted}`], ["--no-deps"], wheels);
    const requirements = await unpackWheels(python, wheels, tree, cuda);
    if (requirements.length > 0) {
      rmSync(wheels, { recursive: true, force: true });
      await pipDownload(python, requirements, [], wheels);
      await unpackWheels(python, wheels, tree, cuda);
    }
    const fresh = inspect(join(tree, "torch"), source);
    if (typeof fresh !== "string" && cuda && !fresh.cuda)
      throw new SetupError(`the wheel of torch ${wanted} that pip found was built without CUDA`, manually);
    if (typeof fresh === "string") throw new SetupError(`the wheel that pip found cannot be used: ${fresh}`, manually);
    try {
      renameSync(tree, home);
    } catch (error) {
      if (!existsSync(home)) throw error; // else another process was faster: its copy is as good
    }
    tell(`libtorch ${fresh.version} unpacked in ${seconds(start)}`);
    return { ...fresh, folder: join(home, "torch") };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
