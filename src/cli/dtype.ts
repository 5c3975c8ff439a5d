/** What a model is computed in, as an option of a command. */
export const dtypeOption = {
  choices: ["float32", "bfloat16"] as const,
  default: "float32" as const,
  describe: "of weights and activations: bfloat16 takes half the memory, float32 is usually faster on a CPU",
};
