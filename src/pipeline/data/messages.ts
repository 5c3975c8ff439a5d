import { UserError } from "../../errors.js";
import type { ContentPart } from "./chat-template.js";

/** Stands in a question where an image belongs. */
export const IMAGE_MARKER = "<image>";

interface PromptMessage {
  readonly role: "system" | "user";
  readonly content: readonly ContentPart[];
}

/**
 * A question as chat messages: its images first, then the text; or, where the question holds `<image>` markers, each
 * image in the place of its marker.
 * @throws UserError PROMPT_INVALID naming both counts if markers and images disagree
 */
export function promptMessages(
  { question, num_images }: { readonly question: string; readonly num_images: number },
  systemPrompt?: string,
): readonly PromptMessage[] {
  const user: PromptMessage = { role: "user", content: questionContent(question, num_images) };
  if (systemPrompt === undefined) return [user];
  return [{ role: "system", content: [{ type: "text", text: systemPrompt }] }, user];
}

function questionContent(question: string, numImages: number): readonly ContentPart[] {
  const pieces = question.split(IMAGE_MARKER);
  const markers = pieces.length - 1;
  if (markers === 0)
    return [...Array<ContentPart>(numImages).fill({ type: "image" }), { type: "text", text: question }];
  if (markers !== numImages)
    throw new UserError(
      "PROMPT_INVALID",
      `the question has ${markers} ${IMAGE_MARKER} markers, but the sample has ${numImages} images`,
      `Write one ${IMAGE_MARKER} marker per image, or none at all to put the images first.`,
    );
  return pieces.flatMap((text, i) => [
    ...(i > 0 ? [{ type: "image" } as const] : []),
    ...(text !== "" ? [{ type: "text", text } as const] : []),
  ]);
}
