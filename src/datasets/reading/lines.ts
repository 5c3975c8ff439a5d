import { createReadStream } from "node:fs";
import { UserError } from "../../errors.js";

/**
 * The lines of a file, counted from 1, without their newline. Splits at "\n" only: node:readline also splits at
 * U+2028 and U+2029, which JSON strings may hold.
 */
export async function* readLines(file: string): AsyncGenerator<{ readonly line: number; readonly bytes: Uint8Array }> {
  let line = 1;
  let rest: Buffer[] = [];
  try {
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
        yield { line, bytes: Buffer.concat([...rest, chunk.subarray(start, end)]) };
        line += 1;
        rest = [];
        start = end + 1;
      }
      if (start < chunk.length) rest.push(chunk.subarray(start));
    }
  } catch (cause) {
    if (typeof (cause as NodeJS.ErrnoException).syscall !== "string") throw cause;
    throw unreadable(file, cause);
  }
  if (rest.length > 0) yield { line, bytes: Buffer.concat(rest) };
}

export const unreadable = (file: string, cause: unknown): UserError =>
  new UserError("FILE_NOT_FOUND", `dataset ${file} cannot be read: ${(cause as Error).message}`, "Check the path.", {
    cause,
  });
