import * as jinja from "@huggingface/jinja";

/** A compiled template. @throws Error where Python's Jinja raises */
export type RenderTemplate = (variables: Readonly<Record<string, unknown>>) => string;

/**
 * Jinja as transformers runs it: block trimming, its globals, and Python's strictness where the JavaScript library
 * is more lenient. Dates (`strftime_now`) are left undefined: a prompt must not depend on the day.
 */
export function compileTemplate(source: string): RenderTemplate {
  const program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  return (variables) => {
    const environment = new Environment();
    for (const [name, value] of Object.entries({ ...GLOBALS, ...variables })) environment.set(name, value);
    forbidPrintedLists(environment.lookupVariable("messages"));
    return String(new PythonInterpreter(environment).run(program).value);
  };
}

const GLOBALS = {
  ...{ true: true, false: false, none: null, True: true, False: false, None: null },
  raise_exception: (message: string) => {
    throw new Error(message);
  },
  range: (...bounds: readonly number[]) => {
    const [start = 0, stop = 0, stride = 1] = bounds.length === 1 ? [0, bounds[0]] : bounds;
    return Array.from({ length: Math.max(0, Math.ceil((stop - start) / stride)) }, (_, i) => start + i * stride);
  },
};

/** The library's declarations resolve only in a bundler, so what is used of its run time is declared here. */
interface Value {
  readonly type: string;
  readonly value: unknown;
  toString(): string;
}

interface Node {
  readonly type: string;
}

interface Scope {
  set(name: string, value: unknown): Value;
  lookupVariable(name: string): Value;
}

interface LibraryInterpreter {
  run(program: Node): Value;
  evaluate(node: Node | undefined, scope: Scope): Value;
}

const { Environment, Interpreter, parse, tokenize } = jinja as unknown as {
  readonly Environment: new () => Scope;
  readonly Interpreter: new (scope: Scope) => LibraryInterpreter;
  readonly parse: (tokens: unknown) => Node;
  readonly tokenize: (source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }) => unknown;
};

interface MemberNode extends Node {
  readonly object: Node;
  readonly property: { readonly value?: unknown };
}

interface BinaryNode extends Node {
  readonly operator: { readonly value: string };
  readonly left: Node;
  readonly right: Node;
}

interface LoopNode extends Node {
  readonly iterable: Node;
}

/** Stands in a syntax tree for an operand that was already evaluated. */
class Evaluated implements Node {
  readonly type = "Evaluated";
  readonly value: Value;
  constructor(value: Value) {
    this.value = value;
  }
}

/**
 * Adding anything but text to text, or reading an attribute of something undefined, is an error and never silently
 * wrong text; a loop over text runs over its characters.
 */
class PythonInterpreter extends Interpreter {
  override evaluate(node: Node | undefined, scope: Scope): Value {
    if (node instanceof Evaluated) return node.value;
    switch (node?.type) {
      case "MemberExpression":
        return super.evaluate(this.member(node as MemberNode, scope), scope);
      case "BinaryExpression":
        return super.evaluate(this.sum(node as BinaryNode, scope), scope);
      case "For":
        return super.evaluate(this.loop(node as LoopNode, scope), scope);
      default:
        return super.evaluate(node, scope);
    }
  }

  private member(node: MemberNode, scope: Scope): Node {
    const object = this.evaluate(node.object, scope);
    if (object.type === "UndefinedValue")
      throw new TypeError(`attribute "${String(node.property.value)}" of something undefined`);
    return { ...node, object: new Evaluated(object) } as Node;
  }

  private sum(node: BinaryNode, scope: Scope): Node {
    if (node.operator.value !== "+") return node;
    const [left, right] = [this.evaluate(node.left, scope), this.evaluate(node.right, scope)];
    if ((left.type === "StringValue") !== (right.type === "StringValue"))
      throw new TypeError(`can only add text to text, not ${kindOf(right)} to ${kindOf(left)}`);
    return { ...node, left: new Evaluated(left), right: new Evaluated(right) } as Node;
  }

  private loop(node: LoopNode, scope: Scope): Node {
    if (node.iterable.type === "SelectExpression") return node; // filters as it loops; the library evaluates it
    const iterable = this.evaluate(node.iterable, scope);
    const items = iterable.type === "StringValue" ? listOf(Array.from(String(iterable.value))) : iterable;
    return { ...node, iterable: new Evaluated(items) } as Node;
  }
}

const listOf = (items: readonly string[]): Value => new Environment().set("items", items);

const kindOf = ({ type }: Value): string =>
  type === "ArrayValue" ? "a list" : type === "StringValue" ? "text" : type.replace("Value", "").toLowerCase();

/** A template that prints a list of content parts knows only text; Python's printed form would help nobody. */
function forbidPrintedLists(messages: Value): void {
  for (const message of messages.value as readonly Value[]) {
    const content = (message.value as ReadonlyMap<string, Value>).get("content");
    if (content?.type !== "ArrayValue") continue;
    content.toString = () => {
      throw new TypeError("the template prints a list of content parts");
    };
  }
}
