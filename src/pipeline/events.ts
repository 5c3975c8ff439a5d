import type { EvaluationResult } from "../evaluate/result.js";

/** Everything a run says while it runs, in order. The run folder and the terminal both listen to this. */
export type TrainEvent =
  StartedEvent | ProgressEvent | StepEvent | AlarmEvent | EvaluatedEvent | CheckpointEvent | NoteEvent | DoneEvent;

export interface StartedEvent {
  readonly type: "started";
  /** Steps finished before this call; above 0 after a resume. */
  readonly step: number;
  readonly steps: number;
  readonly num_parameters: number;
  readonly num_trainable_parameters: number;
  readonly run_folder: string | null;
}

export type Phase = "data" | "rollout" | "score" | "update" | "evaluate" | "checkpoint";

/** Counts for rate and ETA; `done` never falls within one phase of one step. */
export interface ProgressEvent {
  readonly type: "progress";
  readonly step: number;
  readonly phase: Phase;
  readonly done: number;
  readonly total: number;
  /** What is counted: "completions", "prompts", "updates". */
  readonly unit: string;
}

export interface StepEvent {
  readonly type: "step";
  /** Steps finished, this one included: the first is 1. */
  readonly step: number;
  readonly steps: number;
  /** Names, units and formulas: src/reports/metrics.ts. */
  readonly metrics: Metrics;
  /** The step's first completion, to look at; absent where nothing was sampled (sft). */
  readonly sample?: StepSample | undefined;
}

export interface StepSample {
  readonly prompt: string;
  readonly completion: string;
  /** Of the dataset. */
  readonly answer: string;
  readonly reward: number;
}
export type Metrics = Readonly<Record<string, number>>;

/** Something about the training looks wrong, or no longer does. Kinds of alarm: docs/health.md. */
export interface AlarmEvent {
  readonly type: "alarm";
  /** The step that raised or cleared it. */
  readonly step: number;
  /** A key of the config's `health.alarms`. */
  readonly name: string;
  readonly state: "raised" | "cleared";
  /** First of the steps in a row that raised or cleared it. */
  readonly first_step: number;
  /** The metric watched, its value in `step`, and the limit it was held against. */
  readonly metric: string;
  readonly value: number;
  readonly limit: number;
  /** "stop": the run ends after a checkpoint, with UserError HEALTH_ALARM. */
  readonly on_alarm: "warn" | "stop";
  /** What was seen, over which steps. */
  readonly message: string;
  /** What it usually means. */
  readonly meaning: string;
  /** What to do. */
  readonly remedy: string;
}

export interface EvaluatedEvent {
  readonly type: "evaluated";
  readonly step: number;
  readonly split: string;
  readonly results: readonly EvaluationResult[];
}

export interface CheckpointEvent {
  readonly type: "checkpoint";
  readonly step: number;
  readonly path: string;
}

/** Something a person should know that is not an error. */
export interface NoteEvent {
  readonly type: "note";
  readonly message: string;
}

export interface BestModel {
  readonly step: number;
  /** checkpoint.best_by of the evaluation at that step. */
  readonly score: number;
  readonly model_path: string;
}

export interface StepScore {
  readonly step: number;
  readonly accuracy: number;
}

/** Accuracy in one setting on a split that selects no checkpoint. */
export interface TestScore {
  readonly split: string;
  readonly setting: string;
  readonly last: StepScore;
  /** At the step of `DoneEvent.best`; absent where none is chosen, or it was not evaluated so. */
  readonly selected?: StepScore | undefined;
}

export interface DoneEvent {
  readonly type: "done";
  readonly step: number;
  readonly run_folder: string | null;
  /** Folder of the trained model in the Hugging Face layout, an adapter merged in; null if none was written. */
  readonly model_path: string | null;
  /** Folder of the trained adapter in PEFT's format; null if none was written. */
  readonly adapter_path: string | null;
  /** With checkpoint.keep_best: the checkpoint whose evaluation was best so far. */
  readonly best?: BestModel | undefined;
  /** Of the last step and of the best one, on splits other than `selected_on`; absent where none was evaluated. */
  readonly test_scores?: readonly TestScore[] | undefined;
  /** The split by which `best` is chosen. */
  readonly selected_on?: string | undefined;
}
