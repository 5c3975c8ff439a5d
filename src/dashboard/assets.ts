import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Answer } from "./routes.js";

/** The package's folder, from src/dashboard and from dist/dashboard alike. */
const package_folder = fileURLToPath(new URL("../../", import.meta.url));
const page_folder = join(package_folder, "src", "dashboard", "page");
const compiled_folder = join(package_folder, "dist", "dashboard", "page");
const uplot_folder = join(dirname(createRequire(import.meta.url).resolve("uplot/package.json")), "dist");

const types = { html: "text/html", css: "text/css", js: "text/javascript" } as const;

/** The page's own files by their address. Nothing else on the disk has one. */
export async function loadAssets(): Promise<ReadonlyMap<string, Answer>> {
  const scripts = (await readdir(compiled_folder)).filter((name) => name.endsWith(".js"));
  const files: readonly (readonly [address: string, path: string])[] = [
    ["/", join(page_folder, "index.html")],
    ["/assets/page.css", join(page_folder, "page.css")],
    ["/assets/uplot.js", join(uplot_folder, "uPlot.iife.min.js")],
    ["/assets/uplot.css", join(uplot_folder, "uPlot.min.css")],
    ...scripts.map((name) => [`/assets/${name}`, join(compiled_folder, name)] as const),
  ];
  const answers = files.map(async ([address, path]) => {
    const type = types[path.split(".").at(-1) as keyof typeof types];
    return [address, { status: 200, type: `${type}; charset=utf-8`, body: await readFile(path, "utf8") }] as const;
  });
  return new Map(await Promise.all(answers));
}
