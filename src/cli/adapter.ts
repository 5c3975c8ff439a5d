/** A LoRA adapter to use with a model, as an option of a command. */
export const adapterOption = {
  type: "string",
  describe: "folder of a LoRA adapter of that model, in PEFT's format: adapter/ of a checkpoint",
} as const;
