import { isSameAnswer, type JudgeOptions } from "./compare.js";
import { finalAnswers, type FinalAnswerRule } from "./final-answer.js";

export { isSameAnswer, type JudgeOptions };

export interface Verdict {
  readonly correct: boolean;
  /** How the reading that was right, or else the first one, was found; undefined if the completion holds no final answer. */
  readonly rule: FinalAnswerRule | undefined;
  readonly final_answer: string | undefined;
}

/** Whether a completion's final answer is the truth. Never throws, whatever the text. Its rules: docs/judge.md. */
export async function judge(completion: string, answer: string, options: JudgeOptions = {}): Promise<Verdict> {
  const readings = finalAnswers(completion);
  for (const { rule, text } of readings)
    if (await isSameAnswer(text, answer, options)) return { correct: true, rule, final_answer: text };
  const [first] = readings;
  return { correct: false, rule: first?.rule, final_answer: first?.text };
}
