import { z } from "zod";

/** Turns zod's issues into lines that name the key, what is wrong and the nearest spelling. */

export interface Problem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

export function problems(error: z.ZodError, schema: z.ZodType, input: unknown): readonly Problem[] {
  return error.issues
    .flatMap((issue) => chosen(issue, input))
    .flatMap((issue): Problem[] => {
      if (issue.code === "unrecognized_keys") {
        const known = propertyNames(schema);
        return issue.keys.map((key) => ({
          path: [...issue.path, key],
          message: `unknown key${suggestion(key, known)}`,
        }));
      }
      if (issue.code === "invalid_union" && "discriminator" in issue) {
        const options = "options" in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];
        const given = valueAt(input, issue.path);
        const expected = options.length > 0 ? `; expected one of ${options.join(", ")}` : "";
        return [
          { path: issue.path, message: given === undefined ? `is missing${expected}` : `is ${show(given)}${expected}` },
        ];
      }
      if (issue.code === "invalid_type" && valueAt(input, issue.path) === undefined)
        return [{ path: issue.path, message: `is missing; expected ${issue.expected}` }];
      const text = issue.message.replace(/^(Invalid input|Invalid option|Too small|Too big): /, "");
      const given = valueAt(input, issue.path);
      const shown =
        issue.code !== "custom" && (typeof given !== "object" || given === null) ? `, got ${show(given)}` : "";
      return [{ path: issue.path, message: text.replace(/, received .*$/, "") + shown }];
    });
}

/**
 * Of a value that may have several forms: the issues of the form that its own keys choose, else of the first one; the
 * union's own message, where it has one.
 */
function chosen(issue: z.core.$ZodIssue, input: unknown): readonly z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union" || issue.errors.length === 0 || issue.message !== "Invalid input") return [issue];
  const value = valueAt(input, issue.path);
  const isOfAnother = ({ code, path }: z.core.$ZodIssue): boolean =>
    (code === "invalid_union" && path.length <= 1) || (path.length === 1 && valueAt(value, path) === undefined);
  const form = issue.errors.find((issues) => !issues.some(isOfAnother)) ?? issue.errors[0]!;
  return form.flatMap((inner) => chosen({ ...inner, path: [...issue.path, ...inner.path] }, input));
}

const show = (value: unknown): string => JSON.stringify(value) ?? String(value);

export function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      typeof inner === "object" && inner !== null ? (inner as Record<PropertyKey, unknown>)[key] : undefined,
    value,
  );
}

function propertyNames(schema: z.ZodType): ReadonlySet<string> {
  const names = new Set<string>();
  const visit = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    for (const [key, value] of Object.entries(node)) {
      if (key === "properties" && typeof value === "object" && value !== null)
        for (const name of Object.keys(value as object)) names.add(name);
      visit(value);
    }
  };
  visit(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }));
  return names;
}

function suggestion(key: string, known: ReadonlySet<string>): string {
  if (key.length > 60) return ""; // no slip of the keyboard
  let best: string | undefined;
  let distance = Math.max(2, Math.floor(key.length / 3)) + 1;
  for (const name of known) {
    const d = editDistance(key, name);
    if (d < distance) [best, distance] = [name, d];
  }
  return best === undefined ? "" : distance === 0 ? "; it belongs elsewhere" : `; did you mean "${best}"?`;
}

/** Levenshtein. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
