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
        const json = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
        const [beside, anywhere] = [keysAt(json, issue.path), allKeys(json)];
        return issue.keys.map((key) => ({
          path: [...issue.path, key],
          message: `unknown key${suggestion(key, beside) ?? suggestion(key, anywhere) ?? ""}`,
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

type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null;

/** Keys that any part of the schema knows. */
function allKeys(schema: unknown): ReadonlySet<string> {
  if (!isObject(schema)) return new Set();
  const own = isObject(schema["properties"]) ? Object.keys(schema["properties"]) : [];
  return new Set([...own, ...Object.values(schema).flatMap((part) => [...allKeys(part)])]);
}

/** Keys that stand beside one at this path, in any of the forms that the blocks around it may have. */
function keysAt(schema: unknown, path: readonly PropertyKey[]): ReadonlySet<string> {
  let forms = formsOf(schema);
  for (const key of path)
    forms = forms.flatMap(({ properties, items, additionalProperties }) =>
      formsOf(
        typeof key === "number" ? items : isObject(properties) ? properties[key as string] : additionalProperties,
      ),
    );
  return new Set(forms.flatMap(({ properties }) => (isObject(properties) ? Object.keys(properties) : [])));
}

const formsOf = (schema: unknown): readonly Json[] =>
  !isObject(schema)
    ? []
    : [schema, ...["anyOf", "oneOf", "allOf"].flatMap((key) => ((schema[key] ?? []) as unknown[]).flatMap(formsOf))];

function suggestion(key: string, known: ReadonlySet<string>): string | undefined {
  if (key.length > 60) return undefined; // no slip of the keyboard
  let best: string | undefined;
  let distance = (key.length < 5 ? 1 : Math.max(2, Math.floor(key.length / 3))) + 1;
  for (const name of known) {
    const d = editDistance(key, name);
    if (d < distance) [best, distance] = [name, d];
  }
  if (best === undefined) return undefined;
  return distance === 0 ? "; it belongs elsewhere" : `; did you mean "${best}"?`;
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
