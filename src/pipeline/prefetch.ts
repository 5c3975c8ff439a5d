import type { BatchArithmetic } from "../config/arithmetic.js";
import { cut_ahead_bytes } from "../config/memory-caches.js";
import type { SftConfig, TrainConfig } from "../config/schema.js";
import { engineDevice } from "../engine/device.js";
import type { Engine } from "../engine/engine.js";
import { ImagesAhead } from "./data/images-ahead.js";
import type { Processor } from "./data/processor.js";
import type { Ahead } from "./draw.js";

type Config = TrainConfig | SftConfig;

/** Where the engine computes on the CPU, preparing images beside it would take cores from it. */
export const prefetches = (config: Config): boolean =>
  config.prefetch_images ?? engineDevice({ ...config, offloads: false }) !== "cpu";

/** What prepares a run's images a step ahead; undefined where nothing does. */
export function openAhead(
  config: Config,
  engine: Engine,
  processor: Processor,
  { optimizer_steps_per_step }: BatchArithmetic,
  known_images: Map<string, string>,
  signal: AbortSignal,
): Ahead | undefined {
  if (!prefetches(config)) return undefined;
  const { train_vision_tower, train_connector } = config.model;
  const images = new ImagesAhead(engine, {
    ...{ image_processor: processor.image_processor, known_images, signal },
    cut_bytes: train_vision_tower || train_connector ? 0 : cut_ahead_bytes,
    max_image_pixels: config.prompt.max_image_pixels,
  });
  return { images, prompts_per_step: config.prompts_per_step, optimizer_steps_per_step };
}
