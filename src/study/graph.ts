import { UserError } from "../errors.js";
import { type Entry, type EntryKind, entry_kinds, type StudyConfig } from "./schema.js";

export const kindOf = (entry: Entry): EntryKind => entry_kinds.find((kind) => entry[kind] !== undefined)!;

/** Whether an entry is measured, and so has a row in the tables. */
export const isMeasured = (entry: Entry): boolean =>
  entry.label !== null && ["sft", "train", "start_of"].includes(kindOf(entry));

const invalid = (message: string, hint: string): UserError => new UserError("CONFIG_INVALID", message, hint);

/**
 * Names of the entries, each after those it starts from.
 * @throws UserError CONFIG_INVALID for a name that no entry has, of a kind that cannot be started from, or a circle
 */
export function inOrder({ entries, report }: Pick<StudyConfig, "entries" | "report">, file: string): readonly string[] {
  const known = Object.keys(entries);
  const check = (key: string, wanted: string, kinds: readonly EntryKind[]): void => {
    const entry = entries[wanted];
    if (entry === undefined)
      throw invalid(`${file}: ${key}: there is no entry "${wanted}"`, `Entries: ${known.join(", ")}.`);
    if (!kinds.includes(kindOf(entry)))
      throw invalid(
        `${file}: ${key}: "${wanted}" is of kind ${kindOf(entry)}; expected ${kinds.join(" or ")}`,
        "Name another entry.",
      );
  };
  const measured = ["sft", "train", "start_of"] as const;
  for (const [name, { from, data, start_of }] of Object.entries(entries)) {
    if (from !== undefined) check(`entries.${name}.from`, from, ["init", "sft", "train"]);
    if (data !== undefined) check(`entries.${name}.data`, data, ["sample"]);
    if (start_of !== undefined) check(`entries.${name}.start_of`, start_of, ["sft", "train"]);
  }
  if (report.baseline !== null) check("report.baseline", report.baseline, measured);
  report.compare.forEach((pair, i) => pair.forEach((name) => check(`report.compare.${i}`, name, measured)));

  const order: string[] = [];
  const visit = (name: string, chain: readonly string[]): void => {
    if (chain.includes(name))
      throw invalid(
        `${file}: entries: ${[...chain.slice(chain.indexOf(name)), name].join(" from ")}: a circle`,
        "Let one of these start from another entry, or from a model of its own.",
      );
    if (order.includes(name)) return;
    for (const needed of needsOf(entries[name]!)) visit(needed, [...chain, name]);
    order.push(name);
  };
  for (const name of known) visit(name, []);
  return order;
}

/** Entries whose runs must be finished first. */
export const needsOf = ({ from, data, start_of }: Entry): readonly string[] =>
  [from, data, start_of].filter((name) => name !== undefined);
