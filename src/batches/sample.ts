/** An encoded image (JPEG, PNG, ...): a file, or its bytes, with a name for messages. */
export type ImageSource =
  { readonly path: string } | { readonly bytes: Uint8Array; readonly name?: string | undefined };

/** One row of a dataset: a question about zero or more images, and what a right completion must reach. */
export interface Sample {
  /** Unique in the dataset; names the row in messages and in rollout files. */
  readonly id: string;
  /** May hold literal `<image>` markers, one per image; without any, the images precede the text. */
  readonly question: string;
  /** The truth that rewards compare with. */
  readonly answer: string;
  /** A worked completion to imitate (`sft`). */
  readonly solution?: string | undefined;
  readonly images: readonly ImageSource[];
}
