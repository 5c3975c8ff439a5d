/** What the server sends and the page reads. */

export type RunState = "running" | "finished" | "stopped";

export interface RunSummary {
  readonly id: string;
  readonly name: string;
  readonly state: RunState;
  /** Steps finished. */
  readonly step: number;
  /** That the config asks for; null if it does not say. */
  readonly total_steps: number | null;
  readonly seed: number | null;
  readonly algorithm: string;
  readonly started_at: string | null;
  /** Runs with the same number differ in their seed alone. */
  readonly group: number;
  readonly group_name: string;
  /** See `MetricsResponse`. */
  readonly generation: number;
  readonly num_steps: number;
  readonly num_evaluations: number;
  readonly num_samples: number;
  readonly problems: readonly string[];
}

/** Metrics from a position on: [from_step ...] of the steps, [from_evaluation ...] of the evaluations. */
export interface MetricsResponse {
  /** Another generation than the asker's: what it has is void, and this starts from 0. */
  readonly generation: number;
  readonly from_step: number;
  readonly from_evaluation: number;
  readonly steps: readonly number[];
  /** By name, one value a step; null where a step lacks it. */
  readonly metrics: Readonly<Record<string, readonly (number | null)[]>>;
  readonly evaluations: readonly EvaluationRow[];
}

export interface EvaluationRow {
  readonly step: number;
  readonly split: string;
  readonly setting: string;
  readonly accuracy: number;
  readonly interval: readonly [low: number, high: number] | null;
  readonly num_items: number;
}

export interface MetricInfo {
  readonly name: string;
  readonly unit: string;
  readonly formula: string;
  /** Heading under which it is shown. */
  readonly section: string;
}

export interface RunDetails {
  readonly id: string;
  readonly folder: string;
  readonly config_yaml: string;
  /** Leaves by dotted key, as text. */
  readonly config: Readonly<Record<string, string>>;
  readonly manifest: Readonly<Record<string, string>>;
  readonly time: {
    readonly step_seconds: number;
    readonly parts: readonly { readonly name: string; readonly seconds: number; readonly share: number }[];
    readonly bottleneck: string;
  } | null;
}

/** One line of the list of samples. */
export interface SampleRow {
  readonly step: number;
  /** In the step's file. */
  readonly row: number;
  readonly reward: number;
  readonly is_correct: boolean | null;
  readonly is_truncated: boolean;
  readonly length: number;
  readonly completion: string;
  readonly answer: string;
}

export interface SamplesResponse {
  /** Changes when samples come or go: positions in the list then mean others. */
  readonly revision: number;
  /** That pass the filters. */
  readonly total: number;
  /** In the run. */
  readonly num_samples: number;
  readonly first_step: number;
  readonly last_step: number;
  /** Where the sample asked for by `at_step` and `at_row` stands in the list; null: not in it, or none was asked for. */
  readonly position: number | null;
  readonly offset: number;
  readonly rows: readonly SampleRow[];
}

export interface SampleDetails extends SampleRow {
  readonly prompt: string;
  readonly sample_id: string;
  readonly prompt_id: number;
  readonly sample_index: number;
  readonly policy_version: number;
  readonly finish_reason: string;
  readonly reward_breakdown: Readonly<Record<string, number>>;
  readonly image_ids: readonly string[];
  readonly tokens: TokenDetails;
  /** The completions of the same prompt, this one included. */
  readonly group: readonly { readonly row: number; readonly reward: number; readonly is_correct: boolean | null }[];
}

/** The sampled tokens. */
export interface TokenDetails {
  readonly ids: readonly number[];
  /** Empty where a character goes on from the token before. Null if the run's tokenizer cannot be found. */
  readonly texts: readonly string[] | null;
  /** `logprob`, `advantage`, `ratio`, `reference`: those that the run has, one value a token. */
  readonly values: Readonly<Partial<Record<TokenValue, readonly number[]>>>;
  /** Index of the reflection word that a token belongs to, or -1. */
  readonly reflection: readonly number[];
}

export type TokenValue = "logprob" | "advantage" | "ratio" | "reference";
