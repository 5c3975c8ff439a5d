import { storedImage } from "./images.js";
import { metricInfos, metricsResponse, runDetails } from "./metrics-response.js";
import type { FollowedRun, RunRegistry } from "./runs.js";
import { sampleDetails } from "./sample-details.js";
import { type SampleLists, sample_orders, type SampleQuery } from "./samples.js";
import { type TokenTexts, tokenTexts } from "./token-texts.js";

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string | Uint8Array;
  /** What the address names never changes. */
  readonly is_immutable?: boolean;
}

/** The request cannot be answered as it is. */
export class BadRequest extends Error {}

export interface RouteContext {
  readonly registry: RunRegistry;
  readonly lists: SampleLists;
  readonly tokenizers: Map<string, Promise<TokenTexts | undefined>>;
}

const json = (value: unknown): Answer => ({ status: 200, type: "application/json", body: JSON.stringify(value) });
export const missing = (what: string): Answer => ({ status: 404, type: "text/plain", body: `there is no ${what}\n` });

/**
 * GET /api/...
 * @throws BadRequest for a parameter that is not what it should be
 */
export async function route(context: RouteContext, path: readonly string[], search: URLSearchParams): Promise<Answer> {
  const { registry } = context;
  const [resource, id = "", part, ...rest] = path;
  if (resource === "metrics" && path.length === 1) return json(metricInfos());
  if (resource !== "runs") return missing("such address");
  if (path.length === 1) {
    await registry.poll();
    return json(registry.summaries());
  }
  const followed = registry.get(id);
  if (followed === undefined) return missing("such run");
  if (path.length === 2) return json(runDetails(id, followed.run));
  if (part === "metrics" && rest.length === 0) return json(metricsResponse(followed.run, positionOf(search)));
  if (part === "samples") return samples(context, followed, rest, search);
  if (part === "images" && rest.length === 1) return image(followed, rest[0]!);
  return missing("such address");
}

const positionOf = (search: URLSearchParams) => ({
  generation: whole(search, "generation", 0),
  from_step: whole(search, "from_step", 0),
  from_evaluation: whole(search, "from_evaluation", 0),
});

async function samples(
  { registry, lists, tokenizers }: RouteContext,
  followed: FollowedRun,
  rest: readonly string[],
  search: URLSearchParams,
): Promise<Answer> {
  if (rest.length === 0) {
    const [offset, limit] = [whole(search, "offset", 0), whole(search, "limit", 100)];
    if (limit > max_page) throw new BadRequest(`limit is at most ${max_page}`);
    const query = queryOf(search);
    await registry.pollSamples(followed.id);
    const [step, row] = [whole(search, "at_step", -1), whole(search, "at_row", -1)];
    const at = step < 0 || row < 0 ? undefined : { step, row };
    return json(await lists.list(followed, query, { offset, limit, at }));
  }
  const [step, row] = rest.map(Number);
  if (rest.length !== 2 || !rest.every((text) => /^\d{1,9}$/.test(text))) return missing("such sample");
  await registry.pollSamples(followed.id);
  const tokenizer = tokenizers.get(followed.id) ?? tokenTexts(followed.run);
  tokenizers.set(followed.id, tokenizer);
  const textsOf = await tokenizer;
  if (textsOf === undefined) tokenizers.delete(followed.id); // a checkpoint may come
  const details = await sampleDetails(followed, step!, row!, textsOf);
  return details === undefined ? missing("such sample") : json(details);
}

async function image({ run }: FollowedRun, id: string): Promise<Answer> {
  const found = await storedImage(run.folder, id);
  if (found === undefined) return missing("such image");
  return { status: 200, type: found.type, body: found.bytes, is_immutable: true };
}

const max_page = 500;
const max_text_length = 200;

function queryOf(search: URLSearchParams): SampleQuery {
  const order = sample_orders.find((name) => name === (search.get("order") ?? "step"));
  if (order === undefined) throw new BadRequest(`order is one of ${sample_orders.join(", ")}`);
  const text = search.get("text") ?? "";
  if (text.length > max_text_length) throw new BadRequest(`text has at most ${max_text_length} characters`);
  return {
    ...{ order, text: text === "" ? undefined : text },
    correct: flag(search, "correct"),
    truncated: flag(search, "truncated"),
    reflective: flag(search, "reflective"),
    from_step: search.has("from_step") ? whole(search, "from_step", 0) : undefined,
    to_step: search.has("to_step") ? whole(search, "to_step", 0) : undefined,
  };
}

function whole(search: URLSearchParams, name: string, otherwise: number): number {
  const text = search.get(name);
  if (text === null) return otherwise;
  if (!/^\d{1,9}$/.test(text)) throw new BadRequest(`${name} is a whole number`);
  return Number(text);
}

function flag(search: URLSearchParams, name: string): boolean | undefined {
  const text = search.get(name);
  if (text === null) return undefined;
  if (text !== "yes" && text !== "no") throw new BadRequest(`${name} is yes or no`);
  return text === "yes";
}
