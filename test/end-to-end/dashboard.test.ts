/// <reference lib="dom" />
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Dashboard, openDashboard } from "../../src/dashboard/server.js";
import { reportHtml } from "../../src/reports/report/html.js";
import { buildReport } from "../../src/reports/report/report.js";

import { chromium_path, launchBrowser } from "../helpers/browser.js";
import { openSyntheticRun, writeSyntheticRun } from "../helpers/synthetic-run.mjs";

const has_browser = chromium_path !== undefined;
const name = has_browser ? "in Chromium" : "in Chromium (skipped: none is installed; apt-get install chromium)";

describe.skipIf(!has_browser)(name, () => {
  let root: string;
  let server: Dashboard;
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "sightloop-page-"));
    for (const seed of [0, 1]) await writeSyntheticRun(join(root, "runs", "grpo", `seed-${seed}`), { seed, steps: 6 });
    server = await openDashboard({
      folders: [join(root, "runs")],
      host: "127.0.0.1",
      port: 0,
      token: null,
      poll_ms: 50,
    });
    browser = await launchBrowser();
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    page.setDefaultTimeout(30_000);
    listen(page);
    await page.goto(server.url);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.[Symbol.asyncDispose]();
    await rm(root, { recursive: true, force: true });
  });

  const listen = (of: Page): void => {
    of.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    of.on("pageerror", (error) => complaints.push(error.message));
    of.on("requestfailed", (request) => {
      const is_stopped = request.failure()?.errorText === "net::ERR_ABORTED"; // a list scrolled on, or the page closed
      if (!is_stopped) complaints.push(`${request.url()} failed`);
    });
  };
  /** Of a sample in the list of all: 16 a step. */
  const placeOf = (address: string): string => {
    const [step, row] = address.split("/").slice(-2).map(Number);
    return String(16 * (step! - 1) + row! + 1);
  };
  /** In Chromium's accessibility tree; whatever can be focused there must have a name. */
  const roles = async (of: Page): Promise<readonly string[]> => {
    const session = await of.context().newCDPSession(of);
    const { nodes } = await session.send("Accessibility.getFullAXTree");
    await session.detach();
    const seen = nodes.filter(({ ignored, role }) => !ignored && role?.value !== "RootWebArea");
    const nameless = seen.filter(
      ({ properties = [], name, role }) =>
        properties.some((one) => one.name === "focusable" && one.value.value === true) &&
        !name?.value &&
        role?.value !== "main",
    );
    expect(nameless.map(({ role }) => role?.value as string)).toEqual([]);
    return [...new Set(seen.map(({ role }) => role?.value as string))];
  };
  const labels = (selector: string): Promise<string[]> =>
    page.locator(selector).evaluateAll((nodes) => nodes.map((node) => node.getAttribute("aria-label") ?? ""));

  test("loads: seeds stand under their group, charts are drawn and say what they show", async () => {
    await page.waitForSelector(".plot canvas");
    expect(await page.locator("#run-list .group").innerText()).toMatch(/grpo\s+2 seeds\s+seed-0\s+6\s+seed-1\s+6/);
    expect(await page.locator("#connection").innerText()).toBe("live");
    const drawn = await labels(".plot[aria-label]");
    expect(drawn[0]).toMatch(/^accuracy: validation, greedy over step\. grpo: last \d+\.\d %$/);
  });

  test("a live run: its curve grows while the page is open, without a reload", async () => {
    const writer = await openSyntheticRun(join(root, "runs", "live"), {
      seed: 5,
      total_steps: 40,
      config: { optimizer: { learning_rate: 3 } },
    });
    await writer.step(1);
    await page.waitForFunction(() => document.querySelector("#run-list")!.textContent.includes("running 1 / 40"));
    await writer.step(2);
    await writer.step(3);
    await page.waitForFunction(() => document.querySelector("#run-list")!.textContent.includes("running 3 / 40"));
    expect(await page.locator("#connection").innerText()).toBe("live, 1 running");
    await page.waitForFunction(() =>
      [...document.querySelectorAll(".plot[aria-label]")].some((one) =>
        /^reward mean.*live: last/.test(one.getAttribute("aria-label")!),
      ),
    );
    await writer.close();
    await page.waitForFunction(() => document.querySelector("#run-list")!.textContent.includes("stopped 3 / 40"));
  });

  test("unticking a run takes it out of the charts; a filter leaves only its charts; numbers can be read as a table", async () => {
    await page.getByRole("checkbox", { name: /^live/ }).uncheck();
    await page.waitForFunction(
      () => !/live: last/.test(document.querySelector(".plot[aria-label]")!.getAttribute("aria-label")!),
    );
    await page.getByRole("searchbox", { name: "Filter charts" }).fill("^entropy$");
    await page.waitForFunction(() => document.querySelectorAll(".chart").length === 1);
    await page.getByRole("slider").fill("0.9");
    await page.getByRole("button", { name: "values of entropy" }).click();
    expect(await page.locator("dialog tbody tr").count()).toBe(6);
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => document.querySelector("dialog") === null);
    await page.getByRole("searchbox", { name: "Filter charts" }).fill("");
  });

  test("samples: filters, keyboard, tokens coloured, reflection words marked", async () => {
    await page.getByRole("link", { name: "Samples" }).click();
    const count = page.locator(".count");
    await page.waitForFunction(() => /^96 of 96, steps 1 to 6$/.test(document.querySelector(".count")!.textContent));
    const options = page.getByRole("option");
    await page.waitForSelector("[role=listbox] .facts");
    await page.locator(".toolbar:visible select").nth(1).selectOption("yes");
    await page.waitForFunction(() => !document.querySelector(".count")!.textContent.startsWith("96"));
    await page.waitForFunction(() =>
      [...document.querySelectorAll("[role=listbox] .facts")].every((one) => one.textContent.startsWith("correct")),
    );
    expect(await count.innerText()).toMatch(/^\d+ of 96/);
    await page.locator(".toolbar:visible select").nth(3).selectOption("yes");
    await page.waitForFunction(() =>
      [...document.querySelectorAll("[role=listbox] .preview")].every((one) => one.textContent.includes("wait")),
    );

    await page.getByRole("listbox").focus();
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowDown");
    expect(await options.and(page.locator("[aria-selected=true]")).getAttribute("aria-posinset")).toBe("2");
    await page.waitForSelector(".token");
    expect(await page.locator(".token.low-1, .token.low-2, .token.low-3, .token.low-4").count()).toBeGreaterThan(0);
    await page.getByText("advantage", { exact: true }).click();
    await page.waitForSelector(".token.high-3"); // 0.8 of 2: correct
    await page.locator(".tokens").focus();
    await page.keyboard.press("ArrowRight");
    expect(await page.locator(".token-status").innerText()).toMatch(
      /^token 1 of \d+: "<think>", id \d+ · log-prob .* · advantage \+0\.800/,
    );
    expect(await page.locator(".images img").evaluate((image: HTMLImageElement) => image.naturalWidth)).toBe(56);

    await page.locator(".member").nth(3).click();
    await page.waitForFunction(
      () => document.querySelector(".member:nth-of-type(4)")?.getAttribute("aria-current") === "true",
    );
    const address = page.url();
    expect(address).toMatch(/#samples\/[0-9a-f]{12}\/\d+\/\d+$/);
    const other = await browser.newPage();
    listen(other);
    await other.goto(address); // the address alone leads to the same sample
    await other.waitForSelector(".sample-view");
    expect(await other.locator(".sample-head h2").innerText()).toBe(await page.locator(".sample-head h2").innerText());
    const selected = other.locator("[role=option][aria-selected=true]");
    await selected.waitFor();
    expect(await selected.locator(".facts").innerText()).toContain(`step ${address.split("/").at(-2)} `);
    expect(await selected.getAttribute("aria-posinset")).toBe(placeOf(address));
    await other.locator(".member").first().click();
    await other.waitForFunction(
      (place) => document.querySelector("[aria-selected=true]")?.getAttribute("aria-posinset") === place,
      String(Number(placeOf(address)) - 3),
    );
    await other.locator(".tokens").focus();
    await other.keyboard.press("Escape");
    expect(await other.evaluate(() => document.activeElement?.getAttribute("role"))).toBe("listbox");
    await other.close();
  });

  test("runs: results, what differs, and the bottleneck", async () => {
    await page.getByRole("link", { name: "Runs" }).click();
    await page.waitForSelector(".bottleneck");
    const text = await page.locator("#view-runs").innerText();
    expect(text).toMatch(/bottleneck: sampling, \d+ % of a step/);
    expect(text).toMatch(/What differs\s+key\s+grpo\/seed-0\s+grpo\/seed-1\s+(model\.path.*\s+)?seed\s+0\s+1/);
  });

  test("everything can be reached by Tab, and has a name", async () => {
    await page.getByRole("link", { name: "Curves" }).click();
    await page.waitForSelector(".plot canvas");
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>("a, button, input, select, [tabindex='0']")]
        .filter((node) => node.offsetParent !== null)
        .filter(
          (node) =>
            !(node.getAttribute("aria-label") ?? "") &&
            !node.textContent.trim() &&
            !(node as HTMLInputElement).labels?.length,
        )
        .map((node) => node.outerHTML),
    );
    expect(nameless).toEqual([]);
    expect(await roles(page)).toEqual(expect.arrayContaining(["banner", "navigation", "main", "image", "checkbox"]));
    await page.getByRole("link", { name: "Samples" }).click();
    await page.getByRole("listbox", { name: "Samples" }).waitFor();
    await page.waitForSelector(".tokens");
    const samples = await roles(page);
    expect(samples).toEqual(expect.arrayContaining(["toolbar", "listbox", "option", "article", "radio", "status"]));
    // Tab goes as the eye does: filters, list, sample
    await page.getByRole("searchbox", { name: "Text in completion or answer" }).focus();
    const visited: (string | null)[] = [];
    for (let i = 0; i < 2; i++) {
      await page.keyboard.press("Tab");
      visited.push(await page.evaluate(() => document.activeElement!.getAttribute("aria-label")));
    }
    expect(visited).toEqual(["Samples", expect.stringMatching(/^completion 1 of 4: /)]);
    await page.getByRole("link", { name: "Curves" }).click();
    await page.locator("#skip").focus();
    await page.keyboard.press("Enter");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
    expect(page.url()).toMatch(/#curves$/);
  });

  test("the report opens from the disk, follows light and dark, and shows values under the pointer", async () => {
    const built = await buildReport([join(root, "runs")]);
    await writeFile(join(root, "report.html"), reportHtml(built, new Date()));
    const report = await browser.newPage({ colorScheme: "dark", viewport: { width: 1280, height: 800 } });
    listen(report);
    const asked: string[] = [];
    report.on("request", (request) => asked.push(request.url()));
    const address = pathToFileURL(resolve(root, "report.html")).href;
    await report.goto(address);
    const background = (): Promise<string> => report.evaluate(() => getComputedStyle(document.body).backgroundColor);
    expect(await background()).toBe("rgb(16, 19, 24)");
    await report.locator(".curve svg").first().hover();
    expect(await report.locator(".tip").innerText()).toMatch(/^step \d+/);
    await report.emulateMedia({ media: "print", colorScheme: "dark" });
    expect(await background()).toBe("rgb(255, 255, 255)");
    expect(asked.filter((url) => url !== address && !url.startsWith("data:"))).toEqual([]);
    await report.close();
  });

  test("nothing was complained of", () => expect(complaints).toEqual([]));
});
