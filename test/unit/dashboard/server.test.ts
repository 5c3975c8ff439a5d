import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type {
  MetricsResponse,
  RunDetails,
  RunSummary,
  SampleDetails,
  SamplesResponse,
} from "../../../src/dashboard/api.js";
import { type Dashboard, openDashboard } from "../../../src/dashboard/server.js";
import { ask as askAt } from "../../helpers/ask.js";
import { openSyntheticRun, writeSyntheticRun } from "../../helpers/synthetic-run.mjs";

let root: string;
let server: Dashboard;
let run: RunSummary;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "sightloop-dashboard-"));
  await writeSyntheticRun(join(root, "runs", "grpo", "seed-0"), { steps: 5 });
  server = await openDashboard({ folders: [join(root, "runs")], host: "127.0.0.1", port: 0, token: null, poll_ms: 20 });
  run = (await get<RunSummary[]>("/api/runs"))[0]!;
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

const ask = (path: string, port = server.port) => askAt(path, { port });

async function get<T>(path: string): Promise<T> {
  const { status, body } = await ask(path);
  expect([status, path]).toEqual([200, path]);
  return JSON.parse(body) as T;
}

describe("what is asked for is answered", () => {
  test("the page and its files, without anything from elsewhere", async () => {
    for (const [path, type] of [
      ["/", "text/html"],
      ["/assets/app.js", "text/javascript"],
      ["/assets/uplot.js", "text/javascript"],
      ["/assets/page.css", "text/css"],
    ] as const) {
      const { status, headers, body } = await ask(path);
      expect([status, headers["content-type"]]).toEqual([200, `${type}; charset=utf-8`]);
      expect(headers["content-security-policy"]).toContain("default-src 'none'");
      if (path !== "/assets/uplot.js") expect(body).not.toMatch(/(src|href)="(https?:)?\/\//);
    }
  });

  test("runs, their metrics from a position on, and their config", async () => {
    expect(run).toMatchObject({
      name: "grpo/seed-0",
      state: "finished",
      step: 5,
      total_steps: 5,
      seed: 0,
      problems: [],
    });
    const all = await get<MetricsResponse>(`/api/runs/${run.id}/metrics`);
    expect([all.steps, all.evaluations.length]).toEqual([[1, 2, 3, 4, 5], 2]);
    const rest = await get<MetricsResponse>(`/api/runs/${run.id}/metrics?generation=0&from_step=3&from_evaluation=2`);
    expect([rest.from_step, rest.steps, rest.evaluations]).toEqual([3, [4, 5], []]);
    expect(rest.metrics["reward_mean"]).toEqual(all.metrics["reward_mean"]!.slice(3));
    const void_ = await get<MetricsResponse>(`/api/runs/${run.id}/metrics?generation=7&from_step=3`);
    expect([void_.from_step, void_.steps.length]).toEqual([0, 5]);
    const details = await get<RunDetails>(`/api/runs/${run.id}`);
    expect(details.config["algorithm.name"]).toBe("grpo");
    expect(details.time?.bottleneck).toMatch(/^bottleneck: sampling/);
  });

  test("samples, filtered; every filter agrees with the samples themselves", async () => {
    const list = (query: string): Promise<SamplesResponse> => get(`/api/runs/${run.id}/samples?limit=500&${query}`);
    const all = await list("");
    expect([all.total, all.first_step, all.last_step, all.rows.length]).toEqual([80, 1, 5, 80]);
    const agrees = async (query: string, test: (row: SamplesResponse["rows"][number]) => boolean): Promise<void> => {
      const wanted = all.rows.filter(test);
      expect(wanted.length, query).toBeGreaterThan(0);
      expect(wanted.length, query).toBeLessThan(80);
      expect((await list(query)).rows, query).toEqual(wanted);
    };
    await agrees("correct=yes", (row) => row.is_correct === true);
    await agrees("correct=no&truncated=no", (row) => row.is_correct === false && !row.is_truncated);
    await agrees("truncated=yes", (row) => row.is_truncated);
    await agrees("reflective=yes", (row) => row.completion.includes("wait"));
    await agrees("reflective=no", (row) => !row.completion.includes("wait"));
    await agrees("from_step=2&to_step=3", (row) => row.step === 2 || row.step === 3);
    await agrees("text=SANDAL", (row) => row.completion.includes("sandal"));
    const longest = (await list("order=-length")).rows.map(({ length }) => length);
    expect(longest).toEqual([...longest].sort((a, b) => b - a));
    const page = await get<SamplesResponse>(`/api/runs/${run.id}/samples?offset=30&limit=7`);
    expect(page.rows).toEqual(all.rows.slice(30, 37));
    const [wrong] = all.rows.filter(({ is_correct }) => is_correct === false).slice(3);
    const at = `at_step=${wrong!.step}&at_row=${wrong!.row}`;
    expect((await list(at)).position).toBe(all.rows.indexOf(wrong!));
    expect((await list(`${at}&correct=no`)).position).toBe(3);
    expect((await list(`${at}&correct=yes`)).position).toBeNull();
    expect([(await list("at_step=99&at_row=0")).position, all.position]).toEqual([null, null]);
  });

  test("one sample with its tokens, and its image", async () => {
    const found = await get<SamplesResponse>(`/api/runs/${run.id}/samples?reflective=yes&order=-length&limit=1`);
    const { step, row } = found.rows[0]!;
    const sample = await get<SampleDetails>(`/api/runs/${run.id}/samples/${step}/${row}`);
    const { ids, texts, values, reflection } = sample.tokens;
    expect(sample.completion.startsWith(texts!.join(""))).toBe(true);
    expect([texts!.length, values.logprob!.length, values.advantage!.length, values.ratio!.length]).toEqual(
      Array(4).fill(ids.length),
    );
    expect(ids.length).toBe(sample.length);
    const marked = texts!.filter((_, i) => reflection[i] === 0).join("");
    expect(["wait", ""]).toContain(marked); // the tokens may end before the text does
    expect(sample.group.map((member) => member.row)).toContain(row);
    expect(sample.group).toHaveLength(4);
    const image = await ask(`/api/runs/${run.id}/images/${sample.image_ids[0]!}`);
    expect([image.status, image.headers["content-type"]]).toEqual([200, "image/png"]);
  });

  test("a run that appears and grows is told of while a page listens", async () => {
    const response = await fetch(`http://127.0.0.1:${server.port}/api/events`);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let heard = "";
    const until = async (pattern: RegExp): Promise<void> => {
      while (!pattern.test(heard)) heard += (await reader.read()).value ?? "";
    };
    await until(/seed-0/);
    const writer = await openSyntheticRun(join(root, "runs", "grpo", "seed-1"), { seed: 1, total_steps: 9 });
    await writer.step(1);
    await until(/"name":"grpo\/seed-1","state":"running"[^}]*"step":1,"total_steps":9/);
    await writer.step(2);
    await until(/"name":"grpo\/seed-1","state":"running"[^}]*"step":2,/);
    await writer.close();
    await until(/"name":"grpo\/seed-1","state":"stopped"/);
    await reader.cancel();
  }, 60_000);
});

test("damaged run folders are shown with their problems", async () => {
  const folder = join(root, "damaged", "a");
  await mkdir(join(folder, "rollouts"), { recursive: true });
  await writeFile(join(folder, "metrics.jsonl"), '{"type":"step","step":1,"loss":1}\nnot json\n{"type":"step","st');
  await writeFile(join(folder, "config.yaml"), "a: [");
  await writeFile(join(folder, "rollouts", "step-000001.arrow"), "not arrow");
  await using open = await openDashboard({ folders: [join(root, "damaged")], host: "127.0.0.1", port: 0, token: null });
  const { port } = open;
  const [one] = JSON.parse((await ask("/api/runs", port)).body) as [RunSummary];
  expect([one.num_steps, one.problems.length]).toEqual([1, 3]);
  const samples = JSON.parse((await ask(`/api/runs/${one.id}/samples`, port)).body) as SamplesResponse;
  expect(samples.total).toBe(0);
  const [again] = JSON.parse((await ask("/api/runs", port)).body) as [RunSummary];
  expect(again.problems.join("\n")).toMatch(
    /config.yaml: cannot be read[^]*metrics.jsonl:2: left out[^]*step-000001.arrow: left out/,
  );
});
