import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { initFolder, presetFolder } from "../../../src/cli/init-model.js";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "sightloop-init-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

test("a file in the way of the new model is refused and kept", async () => {
  await writeFile(join(root, "model"), "mine");
  await expect(
    initFolder(await presetFolder({ preset: "fashion_grid_tiny" }), join(root, "model"), 0),
  ).rejects.toMatchObject({ code: "FILE_NOT_WRITABLE" });
  expect(await readFile(join(root, "model"), "utf8")).toBe("mine");
  expect(await readdir(root)).toEqual(["model"]);
});

test("a folder that cannot be made is the user's to mend, not a bug", async () => {
  await writeFile(join(root, "file"), "");
  const source = await presetFolder({ preset: "fashion_grid_tiny" });
  await expect(initFolder(source, join(root, "file", "model"), 0)).rejects.toMatchObject({
    code: "FILE_NOT_WRITABLE",
    hint: expect.stringContaining("another folder") as string,
  });
});
