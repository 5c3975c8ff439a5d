// The active Python: used once, at build time, to find or fetch libtorch. Nothing at run time needs it.
import { run } from "./process.mjs";

/** @type {Promise<string | undefined> | undefined} */
let found;

/** python3, else python (if it is 3.x); undefined when there is none. @returns {Promise<string | undefined>} */
export function findPython() {
  found ??= (async () => {
    for (const program of ["python3", "python"]) {
      const { status, output } = await run(program, ["-c", "import sys; print(sys.version_info[0])"]);
      if (status === 0 && output.trim() === "3") return program;
    }
    return undefined;
  })();
  return found;
}
