import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { chatTemplate, loadChatTemplate, type Message } from "../../../../src/pipeline/data/chat-template.js";

const text = (content: string): Message => ({ role: "user", content });
const parts: Message = { role: "user", content: [{ type: "image" }, { type: "text", text: "What?" }] };

describe("which template is taken", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "sightloop-template-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const files = {
    "processor_config.json": JSON.stringify({ chat_template: "processor" }),
    "chat_template.json": JSON.stringify({ chat_template: "legacy" }),
    "chat_template.jinja": "plain",
    "tokenizer_config.json": JSON.stringify({ chat_template: "tokenizer" }),
  };
  const names = Object.keys(files) as (keyof typeof files)[];
  test.each([
    [names, "processor"],
    [names.slice(1), "legacy"],
    [names.slice(2), "plain"],
    [names.slice(3), "tokenizer"],
  ])("of %j: %s", async (present, expected) => {
    for (const name of present) writeFileSync(join(folder, name), files[name]);
    expect((await loadChatTemplate(folder)).render([])).toBe(expected);
  });

  test("the entry named default, where tokenizer_config.json holds several", async () => {
    const several = ["tool_use", "default"].map((name) => ({ name, template: `the ${name} one` }));
    writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ chat_template: several }));
    expect((await loadChatTemplate(folder)).render([])).toBe("the default one");
  });

  test("none: an error that names the folder and the files", async () => {
    await expect(loadChatTemplate(folder)).rejects.toMatchObject({
      code: "FILE_NOT_FOUND",
      message: `${folder}: the chat template is missing (looked for chat_template.json, chat_template.jinja, tokenizer_config.json)`,
    });
  });

  test("one that cannot be parsed: an error that names the file", async () => {
    writeFileSync(join(folder, "chat_template.jinja"), "{% if %}");
    await expect(loadChatTemplate(folder)).rejects.toMatchObject({
      code: "CHECKPOINT_INVALID",
      message: expect.stringContaining(join(folder, "chat_template.jinja")) as string,
    });
  });
});

describe("what Python's Jinja refuses is refused", () => {
  test.each([
    ["a list added to text", "{{ 'a' + messages[0].content }}", [parts], "can only add text to text"],
    ["text added to a list", "{{ messages[0].content + 'a' }}", [parts], "can only add text to text"],
    ["a number added to text", "{{ 'a' + 1 }}", [], "can only add text to text"],
    ["a printed list of parts", "{{ messages[0].content }}", [parts], "prints a list of content parts"],
    [
      "an attribute of nothing",
      "{{ messages[0].content[0].type }}",
      [text("")],
      'attribute "type" of something undefined',
    ],
    ["the template's own complaint", "{{ raise_exception('no ' + messages[0].role) }}", [text("")], "no user"],
  ])("%s", (_, source, messages, message) => {
    expect(() => chatTemplate(source, "t").render(messages)).toThrow(
      expect.objectContaining({ code: "PROMPT_INVALID", message: expect.stringContaining(message) as string }),
    );
  });
});

describe("what it allows is rendered as there", () => {
  test.each([
    ["a loop over text", "{% for c in messages[0].content %}[{{ c }}]{% endfor %}", [text("añ😀")], "[a][ñ][😀]"],
    ["a sum of texts and of numbers", "{{ 'a' + 'b' }}{{ 1 + 2 }}", [], "ab3"],
    [
      "range",
      "{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(4, 0, -2) %}{{ i }}{% endfor %}",
      [],
      "01242",
    ],
    ["lines trimmed around blocks", "a\n  {% if true %}\nb\n  {% endif %}\nc\n", [], "a\nb\nc"],
    ["a filtered loop", "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}", [text("x")], "x"],
  ])("%s", (_, source, messages, expected) => {
    expect(chatTemplate(source, "t").render(messages)).toBe(expected);
  });
});
