/** An encoded image (JPEG, PNG, ...): a file, or its bytes, with a name for messages. */
export type ImageSource =
  { readonly path: string } | { readonly bytes: Uint8Array; readonly name?: string | undefined };

/** What was said before the question. */
export interface ChatTurn {
  readonly role: "user" | "assistant";
  /** May hold `<image>` markers, as the question. */
  readonly content: string;
}

/** One row of a dataset: a question about zero or more images, and what a right completion must reach. */
export interface Sample {
  /** Unique in the dataset; names the row in messages and in rollout files. */
  readonly id: string;
  /**
   * May hold literal `<image>` markers, one per image, counted through history and question; without any, the images
   * precede the first text of the user.
   */
  readonly question: string;
  /** Earlier turns of the conversation, a user's first; they belong to the prompt. */
  readonly history?: readonly ChatTurn[] | undefined;
  /** Of this row; it stands before the run's own. */
  readonly system_prompt?: string | undefined;
  /** The truth that rewards compare with. */
  readonly answer: string;
  /** A worked completion to imitate (`sft`). */
  readonly solution?: string | undefined;
  readonly images: readonly ImageSource[];
}
