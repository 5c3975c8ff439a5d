import { loadAddon } from "./addon.js";
import { asUserError, meanings } from "./native-error.js";

export interface ResizeBounds {
  readonly height: number;
  readonly width: number;
  /** Both sides become multiples of it, pixels. */
  readonly factor: number;
  readonly min_pixels: number;
  readonly max_pixels: number;
}

/** The size that the engine gives to an image of this size, pixels. */
export function smartResize(bounds: ResizeBounds): { readonly height: number; readonly width: number } {
  const { height, width, factor, min_pixels, max_pixels } = bounds;
  try {
    const [resized_height, resized_width] = loadAddon().smartResize(height, width, factor, min_pixels, max_pixels);
    return { height: resized_height, width: resized_width };
  } catch (error) {
    throw asUserError(error, meanings.images);
  }
}
