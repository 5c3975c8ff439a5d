// npm run check: types, lint, the formatting of both languages, include rules. npm run format (--fix) mends what it can.
import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { root } from "./paths.mjs";
import { run } from "./process.mjs";
import { SetupError, runScript, seconds, tell } from "./tell.mjs";

const fix = process.argv.includes("--fix");

/** Our C++ files, relative to the root. @param {string} folder @returns {string[]} */
function cxxFiles(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "third_party" || entry.name === "doctest" ? [] : cxxFiles(path);
    return /\.(cpp|h|cu|cuh)$/.test(entry.name) ? [path] : [];
  });
}

/** `#include "../x.h"` would slip past the rooms (cmake/Rooms.cmake). @param {string[]} files @returns {string[]} */
function escapingIncludes(files) {
  return files.flatMap((file) =>
    readFileSync(join(root, file), "utf8")
      .split("\n")
      .flatMap((line, index) =>
        /^\s*#\s*include\s*"\.\.?\//.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [],
      ),
  );
}

/** Runs a package's program. @param {string} file inside node_modules @param {string[]} args */
const tool = (file, args) => run(process.execPath, [join(root, "node_modules", file), ...args], { cwd: root });

/** @type {Record<string, () => Promise<{ status: number, output: string }>>} */
const checks = {
  "types of src": () => tool("typescript/bin/tsc", ["--noEmit"]),
  "types of the dashboard's page": () => tool("typescript/bin/tsc", ["-p", "src/dashboard/page", "--noEmit"]),
  "types of tests and scripts": () => tool("typescript/bin/tsc", ["-p", "test"]),
  eslint: () => tool("eslint/bin/eslint.js", [...(fix ? ["--fix"] : []), "--max-warnings=0", "."]),
  prettier: () => tool("prettier/bin/prettier.cjs", [fix ? "--write" : "--check", "--log-level=warn", "."]),
  "clang-format": async () => {
    const files = ["native", "test/native", "test/fuzz"].flatMap(cxxFiles);
    const { status, output } = await tool("clang-format/index.js", [
      ...(fix ? ["-i"] : ["--dry-run", "-Werror"]),
      ...files,
    ]);
    const unformatted = files.filter((file) => output.includes(`${file}:`));
    return { status, output: unformatted.length > 0 ? `not formatted: ${unformatted.join(", ")}` : output };
  },
  includes: async () => {
    const escaping = escapingIncludes(cxxFiles("native"));
    const hint = 'include by the path below native/, as in "core/check.h":';
    return { status: escaping.length > 0 ? 1 : 0, output: [hint, ...escaping].join("\n") };
  },
};

await runScript(async () => {
  const failed = [];
  for (const [name, check] of Object.entries(checks)) {
    if (fix && name.startsWith("types")) continue;
    const start = Date.now();
    const { status, output } = await check();
    tell(`${status === 0 ? "ok    " : "FAILED"} ${name} (${seconds(start)})`);
    if (status === 0) continue;
    failed.push(name);
    process.stderr.write(`${output.trim().replaceAll(`${root}/`, "")}\n`);
  }
  if (failed.length > 0)
    throw new SetupError(
      `${failed.join(", ")} failed in ${relative(process.cwd(), root) || "."}`,
      fix ? "Correct the lines above by hand." : "`npm run format` mends formatting; correct the rest by hand.",
    );
});
