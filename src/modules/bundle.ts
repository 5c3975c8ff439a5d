import { access } from "node:fs/promises";
import { createHash } from "node:crypto";
import { dirname, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build, type BuildFailure, type Message, type Plugin, stop } from "esbuild";
import { UserError, type UserErrorCode } from "../errors.js";

/** A module and the files it imports, as one piece of JavaScript. */
export interface Bundle {
  readonly file: string;
  readonly code: string;
  /** JSON, to find a line of the user's files again. */
  readonly source_map: string;
  /** SHA-256 of the code, hex. Comments do not count. */
  readonly sha256: string;
}

/** What messages call a module, and say of one that does not compile. */
export interface ModuleKind {
  readonly noun: string;
  readonly code: UserErrorCode;
  readonly hint: string;
}

/** Types are stripped, not checked. @throws UserError FILE_NOT_FOUND, or of the kind's code with file:line:column */
export async function bundleModules(files: readonly string[], kind: ModuleKind): Promise<readonly Bundle[]> {
  try {
    const bundles: Bundle[] = [];
    for (const file of files) bundles.push(await bundleModule(file, kind));
    return bundles;
  } finally {
    if (files.length > 0) await stop(); // esbuild is a process of its own
  }
}

async function bundleModule(file: string, kind: ModuleKind): Promise<Bundle> {
  await access(file).catch((cause: Error) => {
    const hint = "A module's path is relative to the config file that names it; with --set, to the current folder.";
    throw new UserError("FILE_NOT_FOUND", `${kind.noun} ${file} cannot be read: ${cause.message}`, hint, { cause });
  });
  const url = JSON.stringify(pathToFileURL(file).href);
  try {
    const { outputFiles } = await build({
      entryPoints: [file],
      outfile: "module.mjs",
      ...{ bundle: true, write: false, format: "esm", platform: "node", target: "node20", conditions: [] },
      ...{ sourcemap: "external", logLevel: "silent", absWorkingDir: dirname(file) },
      define: { "import.meta.url": url },
      // Bundled CommonJS calls `require` for Node's own modules.
      banner: {
        js: `import { createRequire as __createRequire } from "node:module"; var require = __createRequire(${url});`,
      },
      plugins: [packages],
    });
    const text = (end: string): string => outputFiles.find(({ path }) => path.endsWith(end))!.text;
    const code = text(".mjs");
    return { file, code, source_map: text(".map"), sha256: createHash("sha256").update(code).digest("hex") };
  } catch (cause) {
    const [first] = (cause as BuildFailure).errors ?? [];
    if (first === undefined) throw cause;
    const what = `${kind.noun} ${file} cannot be compiled: ${place(first, dirname(file))}${first.text}`;
    throw new UserError(kind.code, what, kind.hint, { cause });
  }
}

const place = ({ location }: Message, folder: string): string =>
  location === null ? "" : `${resolve(folder, location.file)}:${location.line}:${location.column + 1}: `;

const root = new URL("../../", import.meta.url);
const own: Readonly<Record<string, string>> = {
  sightloop: new URL("dist/index.js", root).href,
  "sightloop/trackers": new URL("dist/trackers/define.js", root).href,
  "sightloop/rewards": new URL("dist/rewards/modules/define.js", root).href,
};

/**
 * Packages stay outside the bundle and are named by where they lie, so that the code can run from anywhere; `sightloop`
 * is this one, whether or not it is installed beside the module.
 */
const packages: Plugin = {
  name: "packages",
  setup(building) {
    building.onResolve({ filter: /^[^./]/ }, async ({ path, kind, resolveDir, importer, pluginData }) => {
      if (pluginData === packages) return undefined;
      const url = own[path];
      if (url !== undefined) return { path: kind === "require-call" ? fileURLToPath(url) : url, external: true };
      const found = await building.resolve(path, { kind, resolveDir, importer, pluginData: packages });
      if (found.external || found.errors.length > 0 || !/[\\/]node_modules[\\/]/.test(found.path)) return found;
      return { path: kind === "require-call" ? found.path : pathToFileURL(found.path).href, external: true };
    });
  },
};
