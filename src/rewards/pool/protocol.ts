import type { RewardConfig } from "../registry.js";
import type { RewardInput } from "../reward.js";

/** What a worker computes: given once, when it starts. */
export type WorkerReward =
  | { readonly kind: "named"; readonly config: RewardConfig }
  | {
      readonly kind: "module";
      readonly name: string;
      readonly code: string;
      readonly source_map: string;
      /** Where the source map's names start. */
      readonly folder: string;
      readonly params: unknown;
    };

export interface Task {
  /** Index into the rewards given. */
  readonly reward: number;
  readonly input: RewardInput;
}

export interface Thrown {
  readonly message: string;
  /** file:line:column in the user's module, where known. */
  readonly place: string | undefined;
}

export type Reply =
  | { readonly type: "ready" }
  | ({ readonly type: "unusable"; readonly reward: number } & Thrown)
  | { readonly type: "returned"; readonly value: number | undefined; readonly shown: string }
  | ({ readonly type: "threw" } & Thrown);
