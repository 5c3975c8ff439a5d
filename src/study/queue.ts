/** Hands values from callbacks to one reader, in order. */
export class Queue<T> {
  readonly #values: T[] = [];
  #wake: (() => void) | undefined;

  push(value: T): void {
    this.#values.push(value);
    this.#wake?.();
  }

  async next(): Promise<T> {
    while (this.#values.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#values.shift()!;
  }
}
