// Child processes: output captured, exit status as a value.
import { spawn } from "node:child_process";

/**
 * Runs a program. A program that is not there gives status 127, as in a shell.
 * @param {string} program  @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, show?: boolean, onLine?: ((line: string) => void) | undefined }} [options]
 *   show: its output goes to the terminal instead of `output`; onLine: called with every line as it comes
 * @returns {Promise<{ status: number, output: string }>} output: stdout and stderr together
 */
export function run(program, args, { cwd, env, show = false, onLine } = {}) {
  return new Promise((resolve) => {
    const sink = show ? "inherit" : "pipe";
    const child = spawn(program, args, { cwd, env: env ?? process.env, stdio: ["ignore", sink, sink] });
    let output = "";
    let pending = "";
    const take = (/** @type {Buffer} */ chunk) => {
      output += chunk;
      if (!onLine) return;
      const lines = (pending + chunk).split("\n");
      pending = lines.pop() ?? "";
      lines.forEach(onLine);
    };
    child.stdout?.on("data", take);
    child.stderr?.on("data", take);
    child.on("error", (error) => resolve({ status: 127, output: output + error.message }));
    child.on("close", (code) => resolve({ status: code ?? 1, output }));
  });
}
