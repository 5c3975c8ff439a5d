interface Answered {
  readonly correct: boolean;
  readonly final_answer: string | null;
}

/** No answer, no vote. */
const no_vote = -1;
const right = 0;

/**
 * Class of each answer of one item: right ones are one class, wrong ones are compared with the first of each class
 * so far. Completions without a final answer have none.
 */
export async function answerClasses(
  samples: readonly Answered[],
  isSame: (a: string, b: string) => Promise<boolean>,
): Promise<readonly number[]> {
  const wrong: string[] = [];
  const classes: number[] = [];
  for (const { correct, final_answer } of samples) {
    if (correct || final_answer === null) {
      classes.push(correct ? right : no_vote);
      continue;
    }
    let found = wrong.indexOf(final_answer);
    for (let i = 0; found === -1 && i < wrong.length; i++) if (await isSame(final_answer, wrong[i]!)) found = i;
    if (found === -1) found = wrong.push(final_answer) - 1;
    classes.push(found + 1);
  }
  return classes;
}

/** Whether the most frequent answer of the first k is right. Of several, the one given first counts; without votes, none. */
export function isMajorityRight(classes: readonly number[], k: number): boolean {
  const votes = new Map<number, number>();
  for (const one of classes.slice(0, k)) if (one !== no_vote) votes.set(one, (votes.get(one) ?? 0) + 1);
  const most = Math.max(...votes.values());
  for (const [one, count] of votes) if (count === most) return one === right;
  return false;
}
