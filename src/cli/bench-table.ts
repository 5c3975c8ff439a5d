import type { BenchOptions } from "../bench/bench.js";
import type { BenchResult, Phase, Spread } from "../bench/result.js";
import type { Sweep, SweepPoint } from "../bench/sweep.js";
import type { Manifest } from "../reports/manifest.js";
import { gib, percent, table } from "./format.js";

interface About {
  readonly command: string;
  readonly model: string;
  readonly options: BenchOptions;
}

const giga = (value: number | null): string => (value === null ? "" : (value / 1e9).toPrecision(3));
const rate = (value: number): string => (value === 0 ? "" : value >= 100 ? value.toFixed(0) : value.toPrecision(3));
const share = (value: number | null): string => (value === null ? "" : percent(value));
const seconds = ({ median, min, max }: Spread): string =>
  `${median.toPrecision(3)} (${min.toPrecision(3)} to ${max.toPrecision(3)})`;

/** Phases with their rates, the limits, and where the time beyond them goes. */
export function benchText(about: About, surroundings: Manifest, result: BenchResult): string {
  const rows = result.phases.map((phase) => [
    indented(phase),
    seconds(phase.seconds),
    rate(phase.tokens_per_second.prompt),
    rate(phase.tokens_per_second.image),
    rate(phase.tokens_per_second.completion),
    giga(phase.flops_per_second),
    giga(phase.limit_flops_per_second),
    share(phase.share_of_limit),
    giga(phase.bytes_per_second),
  ]);
  return [
    ...heading(about, surroundings),
    `${result.num_parameters.toLocaleString("en")} parameters, ${result.num_trainable_parameters.toLocaleString("en")} trained; prompts of ${result.prompt_tokens} tokens, ${result.image_tokens} of them image tokens; ${result.threads} threads`,
    "",
    table(
      [
        ...["phase", "seconds: median (min to max)", "prompt tokens/s", "image tokens/s", "completion tokens/s"],
        ...["GFLOP/s", "limit GFLOP/s", "share of limit", "GB/s"],
      ],
      rows,
    ),
    "",
    ...explanation(result),
  ].join("\n");
}

function heading(
  { command, model, options }: About,
  { sightloop, node, libtorch, machine }: Manifest,
): readonly string[] {
  const memory = `${gib(machine.memory_bytes)} memory`;
  return [
    command,
    `model ${model}; sightloop ${sightloop}, libtorch ${String(libtorch)}, node ${node}, ${options.dtype}, device ${options.device}; ${machine.cpu}, ${machine.cores} cores, ${memory}, ${machine.system}`,
  ];
}

const indented = ({ name, part_of }: Phase): string =>
  part_of === "step" ? `  ${name}` : part_of === null ? name : `    ${name}`;

function explanation(result: BenchResult): readonly string[] {
  const bandwidth = result.limits.read_bytes_per_second;
  const decode = result.phases.find(({ name }) => name === "decode")!;
  return [
    `load ${result.load_seconds.toPrecision(3)} s; peak resident memory ${gib(result.peak_rss_bytes)}${result.peak_device_bytes > 0 ? `, on the device ${gib(result.peak_device_bytes)}` : ""}; memory is read at ${giga(bandwidth)} GB/s, of which decode reaches ${share(decode.share_of_bandwidth)}`,
    "limit: the rate of this phase's own matrix products, measured in this run, weighted by their operations. The rest goes to:",
    ...result.phases.filter(({ name }) => name in rest_goes_to).map((phase) => restLine(phase, result.phases)),
    "Prompts and images count once a group, as they are computed; operations computed again to save memory do not count.",
  ];
}

/** What a phase does besides its matrix products. */
const rest_goes_to: Readonly<Partial<Record<Phase["name"], string>>> = {
  rollout: "attention over the cache, norms, rotary positions, sampling, the scheduler",
  score: "attention, norms, rotary positions, activation functions, softmax over the vocabulary",
  update: "as in score, their gradients, logits computed again, the optimizer",
};

/** How a phase's median divides: what its operations would take at the limit, the parts measured, and what is left. */
function restLine(phase: Phase, phases: readonly Phase[]): string {
  const total = phase.seconds.median;
  const at_limit = (phase.share_of_limit ?? 0) * total;
  const parts = phases
    .filter(({ part_of }) => part_of === phase.name)
    .map(({ name, seconds: part }) => `${name} ${percent(part.median / total)}`);
  const inside = parts.length === 0 ? "" : `; its time by part: ${parts.join(", ")}`;
  return `  ${phase.name}: ${total.toPrecision(3)} s, ${at_limit.toPrecision(3)} s of it at the limit; ${(total - at_limit).toPrecision(3)} s ${rest_goes_to[phase.name]}${inside}`;
}

export function sweepText(about: About, surroundings: Manifest, which: Sweep, points: readonly SweepPoint[]): string {
  const power = (value: number | null): string => (value === null ? "" : value.toFixed(2));
  return [
    ...heading(about, surroundings),
    "",
    table(
      [unit_of[which], "step seconds: median (min to max)", "GFLOP a step", "time grows as", "operations grow as"],
      points.map((point) => [
        String(point.value),
        seconds(point.seconds),
        giga(point.flops),
        power(point.exponent),
        power(point.flops_exponent),
      ]),
    ),
    "",
    "grows as: the power of the size, from the row above; 1.00 is in proportion, below 1 is cheaper than that.",
  ].join("\n");
}

const unit_of: Readonly<Record<Sweep, string>> = {
  completions: "completions of each prompt",
  new_tokens: "new tokens",
  prompt_length: "prompt tokens",
  images: "images of each prompt",
  width: "times the preset's width",
};
