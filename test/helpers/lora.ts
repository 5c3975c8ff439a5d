import { listValues } from "../../src/batches/columns.js";
import type { TrajectoryBatch } from "../../src/batches/trajectory.js";
import type { EngineOptions } from "../../src/engine/engine.js";
import { algorithm } from "./engine.js";
import { casePrompts, type Family } from "./fixtures.js";
import { alignedFloats, type Row, trajectoriesOf } from "./trajectories.js";

export const LANGUAGE_ONLY = { train_vision_tower: false, train_connector: false, train_language_model: true };

/** The fixtures' loss. */
export const lossOptions = ({ reference: { loss } }: Family): Pick<EngineOptions, "algorithm"> => ({
  algorithm: algorithm({
    ...{ name: "grpo", loss_aggregation: "token_mean", kl_loss_coefficient: loss.beta },
    ...{ clip_ratio_low: loss.epsilon_low, clip_ratio_high: loss.epsilon_high },
  }),
});

/** The fixtures' given completions with their old and reference log-probs and advantages. */
export function lossTrajectories(family: Family, images: ReadonlyMap<string, string>): TrajectoryBatch {
  const { tensors, reference } = family;
  const { offsets, values } = listValues<Int32Array>(casePrompts(family, "batch", images), "token_ids");
  const [count, width] = tensors.get("completion/ids").shape as [number, number];
  const ids = tensors.numbers("completion/ids");
  const mask = tensors.numbers("completion/mask");
  const rows = Array.from({ length: count }, (_, row): Row => {
    const completion = ids.slice(row * width, (row + 1) * width).filter((_, i) => mask[row * width + i] === 1);
    return {
      prompt_id: row,
      prompt: values.subarray(offsets[row], offsets[row + 1]),
      completion: Int32Array.from(completion),
      image_ids: reference.cases["batch"]!.rows[row]!.images.map((image) => images.get(image)!),
    };
  });
  const perToken = (name: string): Float32Array =>
    alignedFloats(rows, (row, token) => Number(tensors.get(name).data[row * width + token]));
  const advantages = tensors.get("loss/advantages").data;
  return trajectoriesOf(rows, {
    policy_logprobs: perToken("loss/old_logprobs"),
    reference_logprobs: perToken("loss/ref_logprobs"),
    advantages: alignedFloats(rows, (row) => Number(advantages[row])),
  });
}
