import { describe, expect, test } from "vitest";
import { asUserError, meanings } from "../../../src/engine/native-error.js";

const native = (code: string, message: string): Error => Object.assign(new Error(message), { code });

describe("a failed native call", () => {
  test.each([
    ["score: this engine was opened without a reference", meanings.batch, "BATCH_INVALID", "with_reference"],
    ["m/model.safetensors: is truncated", meanings.model, "CHECKPOINT_INVALID", "another model folder"],
    ['optimizer state: "w" is missing', meanings.state, "CHECKPOINT_INVALID", "another checkpoint"],
    ["options: type must be number, but is null", meanings.sampling, "CONFIG_INVALID", "sampling options"],
    ['config.json: model_type "llava" is not supported', meanings.model, "MODEL_UNSUPPORTED", "another model folder"],
    ["the engine is closed", meanings.batch, "ENGINE_CLOSED", "before it is closed"],
    ["a/b.safetensors: cannot be written: No space left on device.", meanings.state, "FILE_NOT_WRITABLE", "Free space"],
    ["a/config.json: cannot be written. Check free space.", meanings.model, "FILE_NOT_WRITABLE", "Free space"],
    ["the model's logits are not finite: its weights", meanings.prompts, "TRAINING_DIVERGED", "earlier checkpoint"],
  ])("%s", (message, meaning, code, hint) => {
    const error = asUserError(native("CHECK", message), meaning);
    expect(error).toMatchObject({ name: "UserError", code, message, hint: expect.stringContaining(hint) as string });
  });

  test("for want of memory says what to lower", () => {
    const error = asUserError(native("MEMORY", "you tried to allocate 9 bytes"), meanings.batch);
    expect(error).toMatchObject({ code: "DEVICE_OUT_OF_MEMORY", hint: expect.stringContaining("Lower") as string });
  });

  test("for a minibatch that is not finite carries what is known of it", () => {
    const divergence = { optimizer_step: 0, loss: Infinity, grad_norm: NaN, parameters: ["w"], minibatch_rows: [1] };
    const error = asUserError(Object.assign(native("DIVERGED", "not finite"), { divergence }), meanings.batch);
    expect(error).toMatchObject({ name: "UserError", code: "TRAINING_DIVERGED", divergence });
  });

  test("that is a bug keeps its stack", () => {
    const bug = native("BUG", "INTERNAL ASSERT FAILED");
    expect(asUserError(bug, meanings.batch)).toBe(bug);
  });
});
