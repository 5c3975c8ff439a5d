import { z } from "zod";
import { defineReward } from "./reward.js";

/**
 * 1 if the completion holds exactly one `<think>...</think>` block, else 0.
 * Source: MAYE, arXiv:2504.02587.
 */
export const thinkFormat = defineReward({
  name: "think_format",
  params: z.strictObject({}),
  score: ({ completion }) => (countBlocks(completion) === 1 ? 1 : 0),
});

/** Matches of /<think>.*?<\/think>/s, in linear time even where no block is ever closed. */
function countBlocks(text: string): number {
  let count = 0;
  let at = 0;
  for (;;) {
    const open = text.indexOf("<think>", at);
    const close = open < 0 ? -1 : text.indexOf("</think>", open);
    if (close < 0) return count;
    count += 1;
    at = close + "</think>".length;
  }
}
