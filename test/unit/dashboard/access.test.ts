import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunSummary } from "../../../src/dashboard/api.js";
import { type Dashboard, openDashboard } from "../../../src/dashboard/server.js";
import { ask as askAt, type Reply } from "../../helpers/ask.js";
import { writeSyntheticRun } from "../../helpers/synthetic-run.mjs";

let root: string;
let server: Dashboard;
let run: RunSummary;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "sightloop-access-"));
  const folder = join(root, "runs", "a");
  await writeSyntheticRun(folder, { steps: 1 });
  await writeFile(join(root, "secret.txt"), "secret");
  await writeFile(join(folder, "images", "notes.txt"), "secret");
  await symlink(join(root, "secret.txt"), join(folder, "images", "abcdef.png"));
  server = await openDashboard({ folders: [join(root, "runs")], host: "127.0.0.1", port: 0, token: null });
  [run] = JSON.parse((await ask("/api/runs")).body) as [RunSummary];
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

const ask = (
  path: string,
  headers: Record<string, string> = {},
  more: { method?: string; body?: string; port?: number } = {},
): Promise<Reply> => askAt(path, { port: server.port, headers, ...more });

describe("what must not be answered is refused", () => {
  test.each([
    ["up and out", "/../../../etc/passwd", 404],
    ["the same, encoded", "/%2e%2e/%2e%2e/etc/passwd", 404],
    ["from the assets", "/assets/../../package.json", 404],
    ["from the assets, encoded", "/assets/..%2f..%2fpackage.json", 404],
    ["a run that is none", "/api/runs/..%2f..%2fsecret", 404],
    ["an image by a path", "/api/runs/RUN/images/..%2f..%2f..%2f..%2fsecret.txt", 404],
    ["an image by an absolute path", "/api/runs/RUN/images/%2fetc%2fpasswd", 404],
    ["a zero byte", "/api/runs/RUN/images/a%00.png", 404],
    ["another file beside the images", "/api/runs/RUN/images/notes", 404],
    ["a link out of the run", "/api/runs/RUN/images/abcdef", 404],
    ["a sample by a path", "/api/runs/RUN/samples/..%2f1/0", 404],
    ["a step beyond", "/api/runs/RUN/samples/999/0", 404],
    ["a row beyond", "/api/runs/RUN/samples/1/999", 404],
    ["a page too large", "/api/runs/RUN/samples?limit=100000", 400],
    ["a number that is none", "/api/runs/RUN/samples?offset=-1", 400],
    ["a place that is none", "/api/runs/RUN/samples?at_step=1&at_row=x", 400],
    ["an unknown order", "/api/runs/RUN/samples?order=random", 400],
    ["a text too long", `/api/runs/RUN/samples?text=${"x".repeat(201)}`, 400],
    ["a flag that is none", "/api/runs/RUN/samples?correct=maybe", 400],
    ["a broken encoding", "/api/runs/%ff", 400],
    ["an address too long", `/api/runs?x=${"x".repeat(5000)}`, 414],
  ])("%s", async (_, path, status) => {
    const reply = await ask(path.replace("RUN", run.id));
    expect(reply.status).toBe(status);
    expect(reply.body).not.toMatch(/secret|root:|"name"/);
  });

  test.each([
    ["evil.example"],
    ["127.0.0.1.evil.example"],
    ["localhost.evil.example:7007"],
    ["evil.example:80@localhost"],
    ["[::1"],
  ])("the Host header %j", async (host) => {
    expect((await ask("/api/runs", { host })).status).toBe(403);
  });
  test.each([["localhost"], ["LOCALHOST:1234"], ["127.0.0.1:9"], ["[::1]:7007"]])(
    "but not the Host header %s",
    async (host) => {
      expect((await ask("/api/runs", { host })).status).toBe(200);
    },
  );

  test("loads by other sites' pages; links from them are followed", async () => {
    const foreign = { "sec-fetch-site": "cross-site" };
    expect((await ask("/api/runs", { ...foreign, "sec-fetch-mode": "no-cors" })).status).toBe(403);
    expect((await ask("/", { ...foreign, "sec-fetch-mode": "navigate" })).status).toBe(200);
  });

  test("bodies, other methods, and headers without end", async () => {
    expect((await ask("/api/runs", {}, { method: "POST", body: "x" })).status).toBe(405);
    expect((await ask("/api/runs", { "content-length": "1000000" }, { body: "x" })).status).toBe(413);
    expect((await ask("/api/runs", { "x-long": "x".repeat(20_000) })).status).toBe(431);
  });

  test("a request that is no HTTP", async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(server.port, "127.0.0.1", () => socket.write("nonsense\r\n\r\n"));
      let text = "";
      socket
        .on("data", (part) => (text += part.toString()))
        .on("close", () => resolve(text))
        .on("error", reject);
    });
    expect(answer).toContain("400 Bad Request");
    expect((await ask("/")).status).toBe(200);
  });
});

describe("beyond this machine", () => {
  test("there is no server without a token", async () => {
    const options = { folders: [root], host: "0.0.0.0", port: 0, token: null };
    await expect(openDashboard(options)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  test("the token opens the page, once as an address, then as a cookie", async () => {
    const token = "t".repeat(32);
    const options = {
      folders: [join(root, "runs")],
      host: "0.0.0.0",
      port: 0,
      token,
      allowed_hosts: ["proxy.example"],
    };
    await using open = await openDashboard(options);
    const { port } = open;
    const from = (path: string, headers: Record<string, string> = {}) => ask(path, headers, { port });
    expect(open.url).toContain(`?token=${token}`);
    for (const path of ["/", "/assets/app.js", "/api/runs", "/api/events", "/?token=wrong", `/?token=${token}x`])
      expect([path, (await from(path)).status]).toEqual([path, 401]);
    expect((await from("/", { cookie: "sightloop_token=wrong" })).status).toBe(401);
    const first = await from(`/?token=${token}`);
    expect([first.status, first.headers["location"]]).toEqual([303, "/"]);
    const cookie = String(first.headers["set-cookie"]);
    expect(cookie).toMatch(/HttpOnly; SameSite=Strict/);
    expect((await from("/api/runs", { cookie: cookie.split(";")[0]! })).status).toBe(200);
    expect((await from("/api/runs", { cookie: cookie.split(";")[0]!, host: "evil.example" })).status).toBe(403);
    expect((await from("/api/runs", { cookie: cookie.split(";")[0]!, host: "proxy.example" })).status).toBe(200);
  });

  test("a port that is taken is a user's mistake", async () => {
    const options = { folders: [root], host: "127.0.0.1", port: server.port, token: null };
    await expect(openDashboard(options)).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("taken") as string,
    });
  });
});
