// The places that the scripts share.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The package's root folder. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const buildFolder = join(root, "build");
export const addonFile = join(buildFolder, "Release", "sightloop.node");
export const nativeTestsFile = join(buildFolder, "Release", "native_tests");
