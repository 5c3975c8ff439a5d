import type { Addon, EngineHandle } from "./addon.js";
import type { DecodedImage, ImageGrid, ImageProcessorSettings, PreparedImage } from "./engine.js";
import { callNative } from "./native-call.js";
import { meanings } from "./native-error.js";

type Sizes = [number, number, number];

/** The images of one native engine: how they get there, and the grids of those that it holds. */
export class EngineImages {
  readonly #addon: Addon;
  readonly #handle: EngineHandle;
  readonly #settings: ImageProcessorSettings;
  readonly #grids = new Map<string, ImageGrid>();

  constructor(addon: Addon, handle: EngineHandle, settings: ImageProcessorSettings) {
    this.#addon = addon;
    this.#handle = handle;
    this.#settings = settings;
  }

  grid(id: string): ImageGrid | undefined {
    return this.#grids.get(id);
  }

  async add(images: readonly DecodedImage[]): Promise<readonly ImageGrid[]> {
    const sizes = await this.#call(() => this.#addon.addImages(this.#handle, ...columns(images)));
    const grids = sizes.map((size, i) => this.#gridOf(images[i]!.id, size));
    for (const grid of grids) this.#grids.set(grid.id, grid);
    return grids;
  }

  async prepare(images: readonly DecodedImage[], cut: boolean): Promise<readonly PreparedImage[]> {
    const settings = JSON.stringify(this.#settings);
    const made = await this.#call(() => this.#addon.prepareImages(this.#handle, settings, cut, ...columns(images)));
    return made.map(({ prepared, grid }, i) => ({ prepared, grid: this.#gridOf(images[i]!.id, grid) }));
  }

  async addPrepared(images: readonly PreparedImage[]): Promise<void> {
    const given = images.map(({ grid, prepared }) =>
      this.#call(() => this.#addon.addPreparedImage(this.#handle, grid.id, prepared)),
    );
    await Promise.all(given);
    for (const { grid } of images) this.#grids.set(grid.id, grid);
  }

  async prune(keep: readonly string[]): Promise<void> {
    const dropped = await this.#call(() => this.#addon.pruneImages(this.#handle, keep));
    for (const id of dropped) this.#grids.delete(id);
  }

  #gridOf(id: string, image_grid_thw: Sizes): ImageGrid {
    const [t, h, w] = image_grid_thw;
    return { id, image_grid_thw, num_tokens: (t * h * w) / this.#settings.merge_size ** 2 };
  }

  #call<T>(run: () => Promise<T>): Promise<T> {
    return callNative(this.#addon, run, meanings.images);
  }
}

const columns = (images: readonly DecodedImage[]): [string[], Uint8Array[], number[], number[]] => [
  images.map(({ id }) => id),
  images.map(({ rgb }) => rgb),
  images.map(({ height }) => height),
  images.map(({ width }) => width),
];
