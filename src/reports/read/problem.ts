/** A file of a run, or a part of one, that cannot be read. It is left out, and the reader is told. */
export interface Problem {
  /** Relative to the run folder. */
  readonly file: string;
  readonly line?: number | undefined;
  readonly message: string;
}

export const problemText = ({ file, line, message }: Problem): string =>
  `${file}${line === undefined ? "" : `:${line}`}: ${message}`;

export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The first `most`, then how many more there are. */
export const condensed = (problems: readonly Problem[], most = 5): readonly Problem[] =>
  problems.length <= most + 1
    ? problems
    : [...problems.slice(0, most), { file: "...", message: `and ${problems.length - most} more` }];
