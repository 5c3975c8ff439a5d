import { z } from "zod";

/** What a reward may look at. */
export interface RewardInput {
  /** The prompt as text. */
  readonly prompt: string;
  /** The sampled text, a forced prefix included. */
  readonly completion: string;
  /** The dataset's truth. */
  readonly answer: string;
  /** "stop": ended by a stop token; "length": cut off. */
  readonly finish_reason: "stop" | "length";
  /** Sampled tokens, stop token included. */
  readonly token_count: number;
  /** The dataset's row (a `Sample` of src/batches; this room knows none but its own types). */
  readonly sample: {
    readonly id: string;
    readonly question: string;
    readonly answer: string;
    readonly solution?: string | undefined;
    readonly images: readonly (
      { readonly path: string } | { readonly bytes: Uint8Array; readonly name?: string | undefined }
    )[];
  };
}

export interface RewardDefinition<Name extends string, Shape extends z.ZodRawShape> {
  readonly name: Name;
  /** The parameters, `name` and `weight`, as they stand in a config. */
  readonly schema: z.ZodObject<{ name: z.ZodLiteral<Name>; weight: z.ZodDefault<z.ZodNumber> } & Shape, z.core.$strict>;
  /** Before weights. Malformed text is a wrong answer, never an exception. */
  readonly score: (
    input: RewardInput,
    params: z.output<z.ZodObject<Shape, z.core.$strict>>,
  ) => number | Promise<number>;
}

/** A reward is one file that calls this, and one line in registry.ts. */
export function defineReward<const Name extends string, Shape extends z.ZodRawShape>(definition: {
  readonly name: Name;
  readonly params: z.ZodObject<Shape, z.core.$strict>;
  readonly score: RewardDefinition<Name, Shape>["score"];
}): RewardDefinition<Name, Shape> {
  const { name, params, score } = definition;
  const weight = z.number().default(1);
  return { name, schema: z.strictObject({ name: z.literal(name), weight, ...params.shape }), score };
}
