import { UserError } from "../../errors.js";

/** What is wrong with one row, and the way out; the caller adds the place. */
export class BadRow extends Error {}

export interface RowProblem {
  /** `file:line`, or `file:row` where a file has no lines; both as a person would look them up. */
  readonly place: string;
  readonly what: string;
}

/** Bad rows spelled out in the message; the others are counted. */
const num_listed = 20;

/** All problems of a dataset as one error. */
export function badRows(file: string, problems: readonly RowProblem[], hint: string): UserError {
  const lines = problems.map(({ place, what }) => `${place}: ${what}`);
  const listed = lines.slice(0, num_listed).map((text) => `  ${text}`);
  if (lines.length > num_listed) listed.push(`  and ${lines.length - num_listed} more`);
  return new UserError(
    "DATASET_INVALID",
    lines.length === 1 ? lines[0]! : `${lines.length} problems in ${file}\n${listed.join("\n")}`,
    lines.length > num_listed ? `${hint} \`sightloop data check\` lists all of them.` : hint,
  );
}
