import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** A Chromium that is installed (`apt-get install chromium`), or the one that SIGHTLOOP_CHROMIUM names; undefined if there is none. */
export const chromium_path: string | undefined = [
  process.env["SIGHTLOOP_CHROMIUM"] ?? "",
  ...(process.env["PATH"] ?? "").split(delimiter).flatMap((folder) => names.map((name) => join(folder, name))),
].find((path) => path !== "" && existsSync(path));

/** Headless; inside a container the browser's own sandbox cannot be set up. */
export const launchBrowser = (): Promise<Browser> =>
  chromium.launch({
    executablePath: chromium_path!,
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
    timeout: 90_000,
  });
