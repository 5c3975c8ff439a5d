import { createHash, randomBytes } from "node:crypto";
import { access, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { UserError } from "../../../src/errors.js";
import { isSafePath, parseHubPath } from "../../../src/hub/hub-path.js";
import { locateDataset, locateModel } from "../../../src/hub/locate.js";
import type { DownloadProgress, HubOptions } from "../../../src/hub/options.js";
import { commit, gitSha1, hubServer, type Repository } from "../../helpers/hub-server.js";

const weights = randomBytes(300_000);
const model: Repository = {
  kind: "model",
  id: "org/tiny",
  files: {
    "config.json": "{}",
    "model.safetensors": weights,
    "tokenizer.json": JSON.stringify({ vocabulary: "x".repeat(400) }),
    "pytorch_model.bin": randomBytes(200),
    "consolidated.safetensors": randomBytes(200),
    "original/model.safetensors": randomBytes(200),
    ".gitattributes": "*.bin",
    "README.md": "# A model",
  },
};
const dataset: Repository = {
  kind: "dataset",
  id: "org/rows",
  files: {
    "a/train.jsonl": '{"question": "1 + 1?", "answer": 2}\n',
    "a/images/one picture #1.png": randomBytes(150),
    "b/other.jsonl": "{}",
  },
};
const token = "hf_secretsecretsecret";

let folder: string;
let hub: Awaited<ReturnType<typeof hubServer>>;
const start = async (...repositories: Repository[]): Promise<void> => {
  hub = await hubServer(repositories);
};
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sightloop-hub-"));
});
afterEach(async () => {
  await hub?.close();
  await rm(folder, { recursive: true });
});

const options = (env: Record<string, string> = {}, more: HubOptions = {}): HubOptions => ({
  env: { HF_ENDPOINT: hub.endpoint, HF_HUB_CACHE: folder, ...env },
  retry_wait_ms: 1,
  ...more,
});
const fetchModel = (env?: Record<string, string>, more?: HubOptions) => locateModel("org/tiny", options(env, more));
const failure = async (work: Promise<unknown>): Promise<UserError> => {
  const error: unknown = await work.then(
    () => new Error("it succeeded"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof UserError)) throw error;
  expect(JSON.stringify([error.message, error.hint, String(error.cause)])).not.toContain(token);
  return error;
};
const repository = (): string => join(folder, "models--org--tiny");
const ofStore = () => hub.seen.filter(({ server, url }) => server === "store" && url.includes("model.safetensors"));

describe("a model of the hub", () => {
  test("arrives whole, in the cache layout of Hugging Face's tools, without what is not needed", async () => {
    await start(model);
    const progress: DownloadProgress[] = [];
    const { path, pinned } = await fetchModel({}, { on_progress: (event) => progress.push(event) });
    expect(path).toBe(join(repository(), "snapshots", commit));
    expect(pinned).toBe(`hf:org/tiny@${commit}`);
    expect((await readdir(path)).sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
    expect((await readFile(join(path, "model.safetensors"))).equals(weights)).toBe(true);
    const sha256 = createHash("sha256").update(weights).digest("hex");
    expect(await readlink(join(path, "model.safetensors"))).toBe(`../../blobs/${sha256}`);
    expect(await readlink(join(path, "config.json"))).toBe(`../../blobs/${gitSha1(Buffer.from("{}"))}`);
    expect(await readFile(join(repository(), "refs/main"), "utf8")).toBe(commit);
    const total = 2 + weights.length + (model.files["tokenizer.json"] as string).length;
    expect(progress.at(-1)).toEqual({ repository: "org/tiny", done: total, total });
    expect(hub.seen.filter(({ url }) => url.includes("/tree/"))).toHaveLength(3); // 9 entries, 3 a page
  });

  test("is not downloaded again; by commit, or offline, not even asked for", async () => {
    await start(model);
    const { path } = await fetchModel();
    const requests = hub.seen.length;
    expect((await fetchModel()).path).toBe(path);
    expect(hub.seen).toHaveLength(requests + 1); // what main stands for
    expect((await locateModel(`hf:org/tiny@${commit}`, options())).path).toBe(path);
    expect((await fetchModel({ HF_HUB_OFFLINE: "1", HF_ENDPOINT: "http://127.0.0.1:9" })).path).toBe(path);
    expect(hub.seen).toHaveLength(requests + 1);
  });

  test("that Hugging Face's own tools downloaded is used offline", async () => {
    await start();
    const snapshot = join(repository(), "snapshots", commit);
    await mkdir(snapshot, { recursive: true });
    await mkdir(join(repository(), "refs"));
    await writeFile(join(repository(), "refs/main"), commit);
    for (const name of ["config.json", "model.safetensors"]) await writeFile(join(snapshot, name), "x");
    expect((await fetchModel({ HF_HUB_OFFLINE: "1" })).path).toBe(snapshot);
  });

  test("was never downloaded, or in part: offline is refused", async () => {
    await start(model);
    expect((await failure(fetchModel({ HF_HUB_OFFLINE: "1" }))).message).toContain("was never downloaded");
    await fetchModel();
    await rm(join(repository(), "blobs", gitSha1(Buffer.from("{}"))));
    expect((await failure(fetchModel({ HF_HUB_OFFLINE: "1" }))).message).toContain(
      "1 of 3 files were not downloaded (config.json)",
    );
  });

  test("goes on where the connection was cut, by a range", async () => {
    await start(model);
    hub.fail("model.safetensors", { cut: 70_000 }, { cut: 110_000 });
    const { path } = await fetchModel();
    expect((await readFile(join(path, "model.safetensors"))).equals(weights)).toBe(true);
    const [first, ...later] = ofStore().map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? NaN));
    expect(first).toBeNaN();
    expect(later).toHaveLength(2); // what was under way when it was cut may have been lost
    expect([later[0]! > 0, later[0]! <= 70_000, later[1]! > later[0]!, later[1]! <= 180_000]).not.toContain(false);
  });

  test("goes on after the process has ended, with what lies on the disk", async () => {
    await start(model);
    const stop = new AbortController();
    hub.fail("model.safetensors", { cut: 100_000 });
    const on_progress = ({ done }: DownloadProgress): void => (done > 90_000 ? stop.abort() : undefined);
    await expect(fetchModel({}, { signal: stop.signal, on_progress })).rejects.toMatchObject({ code: "INTERRUPTED" });
    const part = `${createHash("sha256").update(weights).digest("hex")}.part`;
    const { length } = await readFile(join(repository(), "blobs", part));
    expect(length).toBeGreaterThan(60_000);
    const { path } = await fetchModel();
    expect(ofStore().at(-1)!.range).toBe(`bytes=${length}-`);
    expect((await readFile(join(path, "model.safetensors"))).equals(weights)).toBe(true);
  });

  test.each([
    ["a server that ignores ranges sends all of it", { ignore_range: true }],
    ["a range that is refused starts again", { status: 416 }],
  ] as const)("%s", async (_, fault) => {
    await start(model);
    hub.fail("model.safetensors", { cut: 70_000 }, fault);
    const { path } = await fetchModel();
    expect((await readFile(join(path, "model.safetensors"))).equals(weights)).toBe(true);
  });

  test("is refused when its checksum is wrong twice, and nothing stays under its name", async () => {
    await start(model);
    const wrong = { body: "y".repeat(weights.length) };
    hub.fail("model.safetensors", wrong, wrong);
    const error = await failure(fetchModel());
    expect(error).toMatchObject({
      code: "DOWNLOAD_FAILED",
      message: expect.stringContaining("checksum is wrong") as string,
    });
    const sha256 = createHash("sha256").update(weights).digest("hex");
    for (const name of [sha256, `${sha256}.part`])
      await expect(access(join(repository(), "blobs", name))).rejects.toThrow();
    await fetchModel(); // and the next attempt is as good as the first
  });

  test("small files are checked too (git's SHA-1), and a wrong one is fetched again", async () => {
    await start(model);
    hub.fail("config.json", { body: "[]" });
    const { path } = await fetchModel();
    expect(await readFile(join(path, "config.json"), "utf8")).toBe("{}");
  });

  test.each([
    ["429, with the time to wait", "model.safetensors", { status: 429, headers: { "retry-after": "0" } }],
    ["500", "tree", { status: 500 }],
    ["503", "revision", { status: 503 }],
  ] as const)("%s is tried again", async (_, end, fault) => {
    await start(model);
    hub.fail(end, fault, fault);
    await fetchModel();
  });

  test.each([
    [
      "500 for ever",
      "tree",
      Array<object>(9).fill({ status: 500 }),
      "answers 500 (Internal Server Error) again and again",
    ],
    ["429 for an hour", "revision", [{ status: 429, headers: { "retry-after": "3600" } }], "answers 429"],
    [
      "a connection that always breaks",
      "model.safetensors",
      Array<object>(9).fill({ cut: 0 }),
      "the connection keeps breaking",
    ],
    ["an answer that is not JSON", "tree", [{ status: 200 }], "is not JSON"],
    [
      "a gated model",
      "revision",
      [{ status: 403, headers: { "x-error-code": "GatedRepo" } }],
      "access has to be granted",
    ],
    ["403", "model.safetensors", [{ status: 403 }], "needs permission (403; no HF_TOKEN is set)"],
  ])("%s is an error", async (_, end, faults, message) => {
    await start(model);
    hub.fail(end, ...(faults as []));
    const error = await failure(fetchModel());
    expect(error.code).toBe("DOWNLOAD_FAILED");
    expect(error.message).toContain(message);
    expect(error.message).not.toContain("signature");
  });

  test("that does not exist, or a revision that does not, is named", async () => {
    await start(model);
    expect((await failure(locateModel("org/none", options()))).message).toContain(
      "model org/none@main: does not exist on the hub",
    );
    expect((await failure(locateModel("org/tiny@v9", options()))).message).toContain("(RevisionNotFound)");
    await hub.close();
    expect((await failure(fetchModel())).message).toContain("cannot be reached");
  });

  test("the token goes to the hub and not to the store of large files; a wrong one is not shown", async () => {
    await start({ ...model, token });
    expect((await failure(fetchModel())).message).toContain("no HF_TOKEN is set");
    expect((await failure(fetchModel({ HF_TOKEN: "hf_wrong" }))).message).toContain("with the HF_TOKEN that is set");
    hub.seen.length = 0;
    await fetchModel({ HF_TOKEN: ` ${token}\n` });
    expect(ofStore()).toHaveLength(1);
    for (const { server, authorization } of hub.seen)
      expect(authorization).toBe(server === "hub" ? `Bearer ${token}` : undefined);
  });

  test("without safetensors is none", async () => {
    await start({ ...model, files: { "config.json": "{}", "pytorch_model.bin": "x" } });
    expect((await failure(fetchModel())).message).toContain("*.safetensors is missing");
  });

  test("asked for by many at once is downloaded once", async () => {
    await start(model);
    const found = await Promise.all([fetchModel(), fetchModel(), fetchModel()]);
    expect(new Set(found.map(({ path }) => path)).size).toBe(1);
    expect(ofStore()).toHaveLength(1);
  });
});

describe("a repository that wants to write elsewhere is refused whole", () => {
  test.each([
    ["../../evil.json"],
    ["/etc/evil.json"],
    ["a/../../evil.json"],
    ["a\\..\\evil.json"],
    ["a//b.json"],
    ["./a.json"],
    ["C:evil.json"],
  ])("%s", async (path) => {
    const entry = { type: "file", path, size: 2, oid: gitSha1(Buffer.from("{}")) };
    await start({ ...model, extra_entries: [entry] });
    const error = await failure(fetchModel());
    expect(error.message).toContain(`the file name ${JSON.stringify(path)} leads out of its folder`);
    expect(await readdir(join(repository(), "blobs")).catch(() => [])).toEqual([]);
  });

  test("a checksum that is a path", async () => {
    await start({ ...model, extra_entries: [{ type: "file", path: "a.json", size: 2, oid: "../../../evil" }] });
    expect((await failure(fetchModel())).message).toContain("is not understood");
  });
});

test("a dataset: what is selected, under names that need escaping", async () => {
  await start(dataset);
  const select = (files: readonly string[]) => files.filter((file) => file.startsWith("a/"));
  const { path, pinned } = await locateDataset("hf:org/rows/a/train.jsonl", {
    base_folder: folder,
    hub: options(),
    select,
  });
  expect(pinned).toBe(`hf:org/rows@${commit}/a/train.jsonl`);
  expect(await readFile(path, "utf8")).toBe(dataset.files["a/train.jsonl"]);
  expect(await readdir(join(path, "../images"))).toEqual(["one picture #1.png"]);
  expect(await readdir(join(path, "../.."))).toEqual(["a"]);
  const missing = locateDataset("hf:org/rows/c.jsonl", { base_folder: folder, hub: options(), select });
  expect((await failure(missing)).message).toContain("has no c.jsonl");
});

describe("which paths are the hub's", () => {
  test.each([
    ["org/name", { repository: "org/name", revision: "main", path: "" }],
    ["org/name@v1.0", { repository: "org/name", revision: "v1.0", path: "" }],
    ["hf:org/name@abc/data/train", { repository: "org/name", revision: "abc", path: "data/train" }],
    ["hf:here/name", { repository: "here/name", revision: "main", path: "" }],
    ["here/name", undefined],
    ["name", undefined],
    ["./org/name", undefined],
    ["/org/name", undefined],
    ["org/name/rows.jsonl", undefined],
    ["../name", undefined],
  ])("%s", async (text, expected) => {
    await mkdir(join(folder, "here"));
    expect(parseHubPath(text, folder)).toEqual(expected);
  });

  test.each([["hf:name"], ["hf:org/.."], ["hf:org/name/../x"], ["hf:"], ["hf:org/name@a..b"]])(
    "%s is an error",
    (text) => {
      expect(() => parseHubPath(text, folder)).toThrow("is not a path on the hub");
    },
  );

  test("safe names", () => {
    expect(["a", "a/b.c", "..a/b..", "a b#?%"].every((path) => isSafePath(path))).toBe(true);
    expect(["", "/a", "a/", "..", "a/.", "a\u0000b"].some((path) => isSafePath(path))).toBe(false);
  });
});

test.each([["ftp://example.com"], ["nonsense"], ["https://user:password@example.com"]])(
  "HF_ENDPOINT %s is refused",
  async (endpoint) => {
    await start();
    const error = await failure(fetchModel({ HF_ENDPOINT: endpoint }));
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.message).not.toContain("password");
  },
);
