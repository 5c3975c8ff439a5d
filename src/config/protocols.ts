import type { EvaluationSetting } from "./sections.js";

const whole = { top_k: 0, assistant_prefix: "" };

/** Evaluation settings under one name. paper: those of MAYE (arXiv:2504.02587). */
export const protocols: Readonly<Record<string, readonly EvaluationSetting[]>> = {
  paper: [
    { name: "t1.0", temperature: 1, top_p: 1, completions_per_prompt: 8, ...whole },
    { name: "t0.6", temperature: 0.6, top_p: 1, completions_per_prompt: 1, ...whole },
    { name: "t0.01", temperature: 0.01, top_p: 0.001, completions_per_prompt: 1, ...whole },
  ],
};

export const protocol_names = Object.keys(protocols).join(", ");
export const findProtocol = (name: string): readonly EvaluationSetting[] | undefined =>
  Object.hasOwn(protocols, name) ? protocols[name] : undefined;
