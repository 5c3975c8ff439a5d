/** Columns that no verb of the engine has made: each batch is taken, or refused by an error. */
import { below, pick, type Random } from "../helpers/mutate.js";
import { mutated } from "../helpers/mutated.js";
import { workspace } from "./support.js";

const place = workspace();

mutated("the columns of a batch", {
  prepare: (random) => {
    const [rows, length] = [4, 6];
    const total = rows * length;
    const columns: Record<string, unknown> = {
      prompt_id: ["BigInt64Array", [0, 0, 1, 1]],
      sample_index: ["Int32Array", [0, 1, 0, 1]],
      policy_version: ["Int32Array", [0, 0, 0, 0]],
      token_ids: ["Int32Array", Array.from({ length: total }, (_, i) => (i % length < 3 ? 9 : 11 + i))],
      offsets: ["Int32Array", [0, 6, 12, 18, 24]],
      completion_mask: ["Uint8Array", [0x38, 0x8e, 0xe3]],
      ...Object.fromEntries(
        ["rollout_logprobs", "policy_logprobs", "advantages"].map((name) => [
          name,
          ["Float32Array", Array.from({ length: total }, () => -1)],
        ]),
      ),
      reference_logprobs: null,
      image_ids: [[], [], [], []],
    };
    const scores: Record<string, unknown> = {
      reward: ["Float32Array", [1, 0, 1, 0]],
      policy_logprobs: columns["policy_logprobs"],
      reference_logprobs: null,
    };
    for (let count = 1 + below(random, 3); count > 0; count--) damageColumn(random, random() < 0.85 ? columns : scores);
    return { kind: "columns", model: place.model, columns, scores };
  },
  file: /./,
});

/** Wrong offsets, lengths, ids, kinds of array, missing columns. */
function damageColumn(random: Random, columns: Record<string, unknown>): void {
  const name = pick(random, Object.keys(columns));
  const column = columns[name] as [string, number[]] | null;
  const kinds = ["Int32Array", "Float32Array", "Uint8Array", "Float64Array"];
  if (!Array.isArray(column) || !Array.isArray(column[1]) || name === "image_ids") {
    columns[name] = pick(random, [null, [], [["no such image"], [], [], []], 5, "text", [[], [], [], [], []]]);
    return;
  }
  const values = [...column[1]];
  const place = below(random, values.length);
  const actions: readonly (() => void)[] = [
    () => (values[place] = pick(random, [-1, -(2 ** 31), 2 ** 31 - 1, 1_000_000, 352, 353, 0, 7])),
    () => void values.reverse(),
    () => (values.length = place),
    () => void values.push(...values),
    () => void values.splice(place, 1),
  ];
  pick(random, actions)();
  columns[name] =
    random() < 0.1 ? pick(random, [null, {}, "text", []]) : [random() < 0.15 ? pick(random, kinds) : column[0], values];
}
