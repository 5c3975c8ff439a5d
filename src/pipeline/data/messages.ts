import type { ChatTurn } from "../../batches/sample.js";
import { UserError } from "../../errors.js";
import type { ContentPart } from "./chat-template.js";

/** Stands in a question where an image belongs. */
export const IMAGE_MARKER = "<image>";

/** What of a sample becomes a prompt. */
export interface PromptSample {
  readonly question: string;
  readonly num_images: number;
  readonly history?: readonly ChatTurn[] | undefined;
  readonly system_prompt?: string | undefined;
}

interface PromptMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: readonly ContentPart[];
}

/**
 * A sample as chat messages: its images first, then the text; or, where history and question hold `<image>` markers, each
 * image in the place of its marker.
 * @param systemPrompt of the run; the sample's own comes before it
 * @throws UserError PROMPT_INVALID naming both counts if markers and images disagree
 */
export function promptMessages(
  { question, num_images, history = [], system_prompt }: PromptSample,
  systemPrompt?: string,
): readonly PromptMessage[] {
  const turns: readonly ChatTurn[] = [...history, { role: "user", content: question }];
  const markers = turns.reduce((sum, { content }) => sum + content.split(IMAGE_MARKER).length - 1, 0);
  if (markers !== 0 && markers !== num_images)
    throw new UserError(
      "PROMPT_INVALID",
      `the question has ${markers} ${IMAGE_MARKER} markers, but the sample has ${num_images} images`,
      `Write one ${IMAGE_MARKER} marker per image, or none at all to put the images first.`,
    );
  const messages = turns.map(({ role, content }, i): PromptMessage => {
    const leading = markers === 0 && i === 0 ? Array<ContentPart>(num_images).fill({ type: "image" }) : [];
    return { role, content: [...leading, ...partsOf(content)] };
  });
  const system = system_prompt ?? systemPrompt;
  if (system === undefined) return messages;
  return [{ role: "system", content: [{ type: "text", text: system }] }, ...messages];
}

function partsOf(text: string): readonly ContentPart[] {
  const pieces = text.split(IMAGE_MARKER);
  if (pieces.length === 1) return [{ type: "text", text }];
  return pieces.flatMap((piece, i) => [
    ...(i > 0 ? [{ type: "image" } as const] : []),
    ...(piece !== "" ? [{ type: "text", text: piece } as const] : []),
  ]);
}
