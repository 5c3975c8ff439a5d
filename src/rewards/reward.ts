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
  /** Where sampling cuts off. */
  readonly max_completion_tokens: number;
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

/**
 * What becomes of a completion whose reward gave no number (it threw, took too long, a server refused):
 *   fail  the run stops with an error that names reward and sample
 *   zero  this reward counts 0 for it
 *   mask  the completion is left out: of its group's statistics, of advantages, of the loss
 */
export const onErrorSchema = z.enum(["fail", "zero", "mask"]);
export type OnError = z.infer<typeof onErrorSchema>;

/** Key of a reward in the breakdown and the metrics. */
export const labelSchema = z
  .string()
  .max(60)
  .regex(/^[a-z0-9_][a-z0-9_.-]*$/i, "letters, digits, '_', '.' and '-' only");

const common = (on_error: OnError) => ({
  /** Instead of `name`, where two rewards have the same. */
  label: labelSchema.optional(),
  weight: z.number().default(1),
  on_error: onErrorSchema.default(on_error),
});

type Common = {
  label: z.ZodOptional<z.ZodString>;
  weight: z.ZodDefault<z.ZodNumber>;
  on_error: z.ZodDefault<typeof onErrorSchema>;
};
type Params<Shape extends z.ZodRawShape> = z.output<z.ZodObject<Shape, z.core.$strict>>;

interface Definition<Name extends string, Shape extends z.ZodRawShape> {
  readonly name: Name;
  /** The parameters, `name` and what all rewards have, as they stand in a config. */
  readonly schema: z.ZodObject<{ name: z.ZodLiteral<Name> } & Common & Shape, z.core.$strict>;
}

/** A reward that only computes; it runs in a worker. */
export interface RewardDefinition<Name extends string, Shape extends z.ZodRawShape> extends Definition<Name, Shape> {
  /** Before weights. Malformed text is a wrong answer, never an exception. */
  readonly score: (input: RewardInput, params: Params<Shape>) => number | Promise<number>;
}

/** A reward that asks a server. It runs on the main thread, where one run's limits and caches are one. */
export interface ServiceDefinition<Name extends string, Shape extends z.ZodRawShape> extends Definition<Name, Shape> {
  /** @throws UserError if it can never work: a missing key, an impossible template */
  readonly open: (params: Params<Shape>, context: ServiceContext) => Service;
}

export interface ServiceContext {
  /** Key of the breakdown, for messages. */
  readonly label: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Service {
  /** @throws ServiceFailure, or the signal's reason. Bounds its own time. */
  readonly score: (input: RewardInput, signal: AbortSignal) => Promise<number>;
}

interface Described<Name extends string, Shape extends z.ZodRawShape> {
  readonly name: Name;
  readonly params: z.ZodObject<Shape, z.core.$strict>;
  /** The default of the config's `on_error`. */
  readonly on_error?: OnError;
}

/** A reward is one file that calls this, and one line in registry.ts. */
export function defineReward<const Name extends string, Shape extends z.ZodRawShape>(
  definition: Described<Name, Shape> & Pick<RewardDefinition<Name, Shape>, "score">,
): RewardDefinition<Name, Shape> {
  return { name: definition.name, schema: schemaOf(definition), score: definition.score };
}

export function defineService<const Name extends string, Shape extends z.ZodRawShape>(
  definition: Described<Name, Shape> & Pick<ServiceDefinition<Name, Shape>, "open">,
): ServiceDefinition<Name, Shape> {
  return { name: definition.name, schema: schemaOf(definition), open: definition.open };
}

const schemaOf = <Name extends string, Shape extends z.ZodRawShape>({
  name,
  params,
  on_error = "fail",
}: Described<Name, Shape>): Definition<Name, Shape>["schema"] =>
  z.strictObject({ name: z.literal(name), ...common(on_error), ...params.shape });
