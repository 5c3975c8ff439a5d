import { z } from "zod";
import { defineReward } from "./reward.js";

/**
 * -0.1 x (CJK characters / all characters) of the completion, white space included; 0 if it is empty.
 * CJK: ideographs, kana, hangul, bopomofo. The paper speaks of "non-English" text; its code, like this, of CJK only.
 * Source: MAYE, arXiv:2504.02587.
 */
export const language = defineReward({
  name: "language",
  params: z.strictObject({}),
  score: ({ completion }) => {
    const all = [...completion].length;
    const cjk = completion.match(cjk_character)?.length ?? 0;
    return all === 0 || cjk === 0 ? 0 : (-0.1 * cjk) / all;
  },
});

const cjk_character = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}]/gu;
