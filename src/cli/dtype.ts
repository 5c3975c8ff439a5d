/** What a model is computed in, as an option of a command. */
export const dtypeOption = {
  choices: ["float32", "bfloat16"] as const,
  default: "float32" as const,
  describe: "of weights and activations: bfloat16 takes half the memory, float32 is usually faster on a CPU",
};

/** Where a model is computed, as an option of a command. */
export const deviceOption = {
  choices: ["auto", "cpu", "cuda"] as const,
  default: "auto" as const,
  describe: "where to compute; auto: on an NVIDIA device where the addon was built for one and finds one",
};

/** What repeats bit for bit, as an option of a command. */
export const deterministicOption = {
  choices: ["run", "batch_invariant"] as const,
  default: "run" as const,
  describe: "what repeats bit for bit: the run, or each completion in any batch (float32 only, slower)",
};
