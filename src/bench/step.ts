import { listValues } from "../batches/columns.js";
import type { Engine, ImageGrid } from "../engine/engine.js";
import type { Processor } from "../pipeline/data/processor.js";
import { stopwatch } from "../pipeline/stopwatch.js";
import { syntheticBatch, syntheticImage } from "./workload.js";

/** The work of one step. */
export interface StepWork {
  readonly prompts: number;
  readonly completions: number;
  readonly new_tokens: number;
  /** Side of each image, pixels. */
  readonly image: number;
  readonly images_per_prompt: number;
  /** Image tokens included; undefined takes a short question. */
  readonly prompt_tokens: number | undefined;
  readonly with_reference: boolean;
  readonly seed: number;
}

/** Wall-clock seconds of one step; the parts of `rollout` and `update` are measured inside the engine. */
export interface StepTimes {
  readonly images: number;
  readonly rollout: number;
  readonly vision: number;
  readonly prefill: number;
  readonly decode: number;
  readonly sampling: number;
  readonly score: number;
  readonly update: number;
  readonly forward: number;
  readonly backward: number;
  readonly optimizer: number;
  readonly step: number;
}

export interface StepResult {
  readonly times: StepTimes;
  /** Of each prompt. */
  readonly prompt_tokens: number;
  readonly grids: readonly (readonly ImageGrid[])[];
}

/** One step as training does it, on images and prompts that no other step had; completions have their full length. */
export async function runStep(
  engine: Engine,
  processor: Processor,
  work: StepWork,
  index: number,
  signal: AbortSignal,
): Promise<StepResult> {
  const { prompts, completions, images_per_prompt, new_tokens, seed } = work;
  const rows = prompts * completions;
  const pictures = Array.from({ length: prompts * images_per_prompt }, (_, i) =>
    syntheticImage(`bench-${index}-${i}`, work.image, seed + index * prompts * images_per_prompt + i),
  );
  const clock = stopwatch();
  const added = await engine.addImages(pictures);
  clock.lap("images");

  const grids = Array.from({ length: prompts }, (_, i) =>
    added.slice(i * images_per_prompt, (i + 1) * images_per_prompt),
  );
  const batch = syntheticBatch(processor, index * prompts, grids, work.prompt_tokens);
  clock.lap("prompts");
  await using session = engine.rollout(
    {
      ...{ temperature: 1, top_k: 0, top_p: 1, max_completion_tokens: new_tokens, stop_token_ids: [] },
      ...{ seed, step: index, max_concurrent_completions: rows, kv_block_size: 16, stream: false },
    },
    { signal },
  );
  await session.add(batch, completions);
  const rollouts = await session.finish();
  clock.lap("rollout");

  const reference = work.with_reference ? await engine.score(rollouts, "reference", { signal }) : undefined;
  clock.lap("score");
  const reward = Float32Array.from({ length: rows }, (_, row) => row % 2);
  const trajectories = await engine.advantages(rollouts, { reward, breakdown: {} }, { reference });
  clock.lap("advantages");
  const stats = await engine.update(trajectories, { signal });
  clock.lap("update");
  const laps = clock.laps();
  const total = clock.total();
  await engine.pruneImages([]);
  const { vision_seconds, prefill_seconds, decode_seconds, sampling_seconds } = session.timings!;
  return {
    times: {
      ...{ images: laps["images"]!, rollout: laps["rollout"]!, score: laps["score"]!, update: laps["update"]! },
      ...{ vision: vision_seconds, prefill: prefill_seconds, decode: decode_seconds, sampling: sampling_seconds },
      ...{ forward: stats.forward_seconds, backward: stats.backward_seconds, optimizer: stats.optimizer_seconds },
      step: total,
    },
    prompt_tokens: listValues<Int32Array>(batch, "token_ids").offsets[1]!, // the same for all
    grids,
  };
}
