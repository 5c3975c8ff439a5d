import { z } from "zod";
import { UserError } from "../../errors.js";

/** What the rewards that ask a server have in common. */
export const http_params = {
  url: z
    .url({ protocol: /^https?$/, error: "expected an http:// or https:// URL" })
    .refine((url) => !/^https?:\/\/[^/?#]*@/.test(url), "holds a user name or password: use api_key_env"),
  /** Environment variable whose value is sent as `Authorization: Bearer`. */
  api_key_env: z.string().min(1).nullable().default(null),
  /** Of one request, the answer's body included. */
  timeout_ms: z.int().positive().default(60_000),
  /** Further requests after a failed connection, a timeout, or status 408, 429, 500, 502, 503 or 504. */
  max_retries: z.int().nonnegative().default(3),
  /** Before the first retry; twice as long before each further one, up to a minute. Retry-After goes before. */
  retry_delay_ms: z.int().positive().default(500),
  /** Requests at once. */
  max_concurrent: z.int().positive().default(8),
  max_response_bytes: z
    .int()
    .positive()
    .default(2 ** 20),
  /** Send the sample's images along, as data URLs. */
  send_images: z.boolean().default(false),
};
export type HttpParams = z.output<z.ZodObject<typeof http_params>>;

/** @throws UserError CONFIG_INVALID if the variable is not set */
export function apiKey(
  label: string,
  name: string | null,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  if (name === null) return undefined;
  const key = env[name]?.trim();
  if (key !== undefined && key !== "") return key;
  throw new UserError(
    "CONFIG_INVALID",
    `reward "${label}" reads its key from the environment variable ${name}, which is not set`,
    `Set it before the run: export ${name}=...`,
  );
}
