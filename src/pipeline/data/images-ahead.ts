import type { Engine, ImageProcessorSettings, PreparedImage } from "../../engine/engine.js";
import { holdImages } from "./prompts.js";
import type { StreamedSample } from "./stream.js";

export interface ImagesAheadOptions {
  readonly image_processor: ImageProcessorSettings;
  /** Bytes, about, up to which images are cut into patches ahead as well; 0 where an image's features are computed more than once. */
  readonly cut_bytes: number;
  readonly known_images: Map<string, string>;
  readonly max_image_pixels?: number | undefined;
  readonly signal: AbortSignal;
}

type PreparingEngine = Pick<Engine, "prepareImages" | "addPrepared" | "imageGrid">;

/**
 * Prepares the images of the next step while the engine works on this one: they are read, decoded, resized and cut beside it,
 * and handed over when the step begins. Whatever goes wrong is left to the step, which meets it again and tells of it.
 */
export class ImagesAhead implements AsyncDisposable {
  readonly #engine: PreparingEngine;
  readonly #options: ImagesAheadOptions;
  readonly #stop = new AbortController();
  readonly #prepared = new Map<string, PreparedImage>();
  #running: Promise<void> = Promise.resolve();

  constructor(engine: PreparingEngine, options: ImagesAheadOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  /** Begins with the samples that come next, and returns at once. */
  begin(samples: () => Promise<readonly StreamedSample[]>): void {
    this.#running = this.#running.then(() => this.#prepare(samples)).catch(() => {});
  }

  /** Waits for what has begun, and gives it to the engine. */
  async deliver(): Promise<void> {
    await this.#running;
    const images = [...this.#prepared.values()];
    this.#prepared.clear();
    if (images.length > 0) await this.#engine.addPrepared(images);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#prepared.clear();
  }

  async #prepare(samples: () => Promise<readonly StreamedSample[]>): Promise<void> {
    const { known_images, max_image_pixels, image_processor, cut_bytes } = this.#options;
    const { patch_size, temporal_patch_size } = image_processor;
    const patch_bytes = 4 * 3 * temporal_patch_size * patch_size ** 2;
    const signal = AbortSignal.any([this.#options.signal, this.#stop.signal]);
    signal.throwIfAborted();
    let held_bytes = 0;
    const receiver: Pick<Engine, "addImages" | "imageGrid"> = {
      imageGrid: (id) => this.#engine.imageGrid(id) ?? this.#prepared.get(id)?.grid,
      addImages: async (images) => {
        const made = await this.#engine.prepareImages(images, held_bytes < cut_bytes);
        for (const image of made) {
          const [t, h, w] = image.grid.image_grid_thw;
          held_bytes += t * h * w * patch_bytes;
          this.#prepared.set(image.grid.id, image);
        }
        return made.map(({ grid }) => grid);
      },
    };
    await holdImages(receiver, await samples(), { known_images, max_image_pixels, signal });
  }
}
